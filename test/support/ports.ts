export { freePort } from '../../hack/services/ports.ts';
