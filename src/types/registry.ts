import type { JobType } from '../core/job-type.ts';
import { contractSourceType } from './contract-source/type.ts';
import { exchangeRateType } from './exchange-rate/type.ts';
import { imageConvertType } from './image-convert/type.ts';
import { meterReadingsType } from './meter-readings/type.ts';

/** The types that come with Longshore, as API and controller know them: without the code that runs them. */
export const SHIPPED_TYPES: readonly JobType[] = [
  imageConvertType,
  contractSourceType,
  exchangeRateType,
  meterReadingsType,
];
