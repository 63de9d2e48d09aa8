/** Says where a listener of a CA or an agent could not be opened, and which setting to change. */
import { formatAddress } from '../core/address.ts';
import { MeshError, messageOf } from '../core/errors.ts';
import { listenFix } from '../core/listen-fix.ts';

/** For the operator: where, why and which setting to change. */
export function cannotListen(
  address: { readonly bind: string; readonly port: number },
  section: string,
  thrown: unknown,
): MeshError {
  if (thrown instanceof MeshError) return thrown;
  const where = formatAddress({ ip: address.bind, port: address.port });
  const fix = listenFix(thrown, section, 'port');
  const detail = `Cannot listen on "${where}": ${messageOf(thrown)}; ${fix}`;
  return new MeshError('not_started', detail, { cause: thrown });
}
