import { z } from 'zod';
import { integer, text } from './variable.ts';

/** How KEDA's questions come in. */
export const scaler = z.object({
  host: text({
    env: 'LONGSHORE_SCALER_HOST',
    description: 'Address that the scaler of a controller listens on, where there is a cluster.',
    default: '0.0.0.0',
    allowed: 'an address or host name',
  }),
  port: integer(
    {
      env: 'LONGSHORE_SCALER_PORT',
      description: 'Port of the scaler (gRPC), which every controller serves; 0 takes a free one.',
      default: '9091',
    },
    0,
    65_535,
  ),
  tlsCertFile: text({
    env: 'LONGSHORE_SCALER_TLS_CERT_FILE',
    description: 'Certificate of the scaler, with its chain (PEM). Not set: no TLS.',
    allowed: 'a path',
  }),
  tlsKeyFile: text({
    env: 'LONGSHORE_SCALER_TLS_KEY_FILE',
    description: 'Private key of the certificate (PEM).',
    allowed: 'a path',
  }),
  tlsCaFile: text({
    env: 'LONGSHORE_SCALER_TLS_CA_FILE',
    description: 'Authority (PEM) whose certificate KEDA has to show. Not set: none is asked for.',
    allowed: 'a path',
  }),
});
