/** Istio's name of its CA, where clients expect it unless they are told otherwise. */
export const ISTIO_CA_NAME = 'istiod.istio-system.svc';
