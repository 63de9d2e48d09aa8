/**
 * A filter of one's own: tells the app which tenant a request is of, by the namespace that the peer proved, and says
 * in the answer who answered. A namespace that nobody entered is a mistake of ours: it throws, and that denies.
 */
import { CONTINUE, setField, type Filter } from '../../src/index.ts';

export function tenant(tenants: ReadonlyMap<string, string>): Filter {
  return {
    name: 'tenant',
    onRequest({ connection, head }) {
      const namespace = connection.peer?.namespace ?? '';
      const name = tenants.get(namespace);
      // The client sees 500 and nothing of this text, the log has it with code filter_failed, the app hears nothing.
      if (name === undefined) throw new Error(`no tenant is entered for namespace "${namespace}"`);
      // Replaces what the client itself wrote under this name.
      setField(head.fields, 'x-tenant', name);
      return CONTINUE;
    },
    onResponse(_request, head) {
      setField(head.fields, 'x-served-by', 'postern');
    },
  };
}
