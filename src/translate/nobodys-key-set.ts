/**
 * The key set that stands for one that was never fetched: a token is refused, and a request without one passes.
 *
 * An RSA key of full length whose private half was never stored. A made-up number would not do: it may have factors.
 */
const MODULUS =
  '0YIKOcZ_hZsJ7spJB8ZE-zcKLVP2JV4JiDMBFCwB6XJS-nTmDmgpNWaG_t20U6clE_f5Uv65mH_yvDHNm6VugJ' +
  'RhpHKROm7SmN3zQI1L_QLTIJYlPAsKStHV3XavnH4IEq8I2coiDrp64yiE1ciS6tL06W7eZig1dGo3tsMNnkzE' +
  '3CVqJObx67Z09xxbYhcGPIt7SvqREY7Ys6FIAvoOkACmoLvEFTkhWMhtSedpQjFlwlH9inrlw9ALbPH_mrG5vZ' +
  'YCS8e6xPbNPUJKmsVwW7uAGhZKqJY3US93kO9JApeUEE8_CTsCawdMwFLYun470m6kYh4XJA_7oUxbiwO2WQ';

export const NOBODYS_KEY_SET: string = JSON.stringify({
  keys: [{ kty: 'RSA', alg: 'RS256', kid: 'key-set-not-fetched', e: 'AQAB', n: MODULUS }],
});
