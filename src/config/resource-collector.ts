/**
 * Documents of the kinds that this version acts on → resources, one list a kind, oldest first.
 */
import type { FieldReader } from './field-reader.ts';
import { compareBytes } from './problem.ts';
import { readAuthorizationPolicy } from './read-authorization-policy.ts';
import { readDestinationRule } from './read-destination-rule.ts';
import { readEndpoints, readEndpointSlice } from './read-endpoints.ts';
import { readPeerAuthentication } from './read-peer-authentication.ts';
import { readRequestAuthentication } from './read-request-authentication.ts';
import { readServiceEntry } from './read-service-entry.ts';
import { readService } from './read-service.ts';
import { readSidecar } from './read-sidecar.ts';
import { readWorkloadEntry } from './read-workload-entry.ts';
import type {
  AuthorizationPolicy,
  DestinationRule,
  MeshConfig,
  PeerAuthentication,
  RequestAuthentication,
  ResourceOrigin,
  Resources,
  Service,
  ServiceEndpoints,
  ServiceEntry,
  Sidecar,
  WorkloadEntry,
} from './resources.ts';

export class ResourceCollector {
  readonly #peerAuthentications: PeerAuthentication[] = [];
  readonly #authorizationPolicies: AuthorizationPolicy[] = [];
  readonly #requestAuthentications: RequestAuthentication[] = [];
  readonly #services: Service[] = [];
  readonly #serviceEntries: ServiceEntry[] = [];
  readonly #workloadEntries: WorkloadEntry[] = [];
  readonly #serviceEndpoints: ServiceEndpoints[] = [];
  readonly #destinationRules: DestinationRule[] = [];
  readonly #sidecars: Sidecar[] = [];

  /** Reads the document by its kind; one that cannot be used at all is left out, with its problems noted. */
  take(document: FieldReader, origin: ResourceOrigin): void {
    switch (origin.kind) {
      case 'PeerAuthentication':
        this.#peerAuthentications.push(readPeerAuthentication(document, origin));
        break;
      case 'AuthorizationPolicy':
        this.#authorizationPolicies.push(readAuthorizationPolicy(document, origin));
        break;
      case 'RequestAuthentication':
        this.#requestAuthentications.push(readRequestAuthentication(document, origin));
        break;
      case 'Service':
        this.#services.push(readService(document, origin));
        break;
      case 'ServiceEntry':
        keep(this.#serviceEntries, readServiceEntry(document, origin));
        break;
      case 'WorkloadEntry':
        keep(this.#workloadEntries, readWorkloadEntry(document, origin));
        break;
      case 'Endpoints':
        this.#serviceEndpoints.push(readEndpoints(document, origin));
        break;
      case 'EndpointSlice':
        keep(this.#serviceEndpoints, readEndpointSlice(document, origin));
        break;
      case 'DestinationRule':
        keep(this.#destinationRules, readDestinationRule(document, origin));
        break;
      case 'Sidecar':
        this.#sidecars.push(readSidecar(document, origin));
        break;
      default:
        throw new Error(`Cannot read the kind "${origin.kind}", which api-kinds.ts says is acted on`);
    }
  }

  finish(meshConfig: MeshConfig): Resources {
    return {
      peerAuthentications: this.#peerAuthentications.toSorted(oldestFirst),
      authorizationPolicies: this.#authorizationPolicies.toSorted(oldestFirst),
      requestAuthentications: this.#requestAuthentications.toSorted(oldestFirst),
      services: this.#services.toSorted(oldestFirst),
      serviceEntries: this.#serviceEntries.toSorted(oldestFirst),
      workloadEntries: this.#workloadEntries.toSorted(oldestFirst),
      serviceEndpoints: this.#serviceEndpoints.toSorted(oldestFirst),
      destinationRules: this.#destinationRules.toSorted(oldestFirst),
      sidecars: this.#sidecars.toSorted(oldestFirst),
      meshConfig,
    };
  }
}

function keep<T>(list: T[], read: T | null): void {
  if (read !== null) list.push(read);
}

/** Of two documents, the one that Istio would take as older. */
export function oldestFirst(a: ResourceOrigin, b: ResourceOrigin): number {
  const byTime = (a.createdAtMs ?? Number.POSITIVE_INFINITY) - (b.createdAtMs ?? Number.POSITIVE_INFINITY);
  if (byTime !== 0 && !Number.isNaN(byTime)) return byTime;
  const byFile = compareBytes(a.position.file, b.position.file);
  return byFile || a.position.line - b.position.line || a.position.column - b.position.column;
}
