import type { Registration } from '../core/handler.ts';
import { type ContractSourceSettings, createContractSourceHandler } from './contract-source/run.ts';
import { createImageConvertHandler, type ImageConvertSettings } from './image-convert/run.ts';
import { createMeterReadingsHandler } from './meter-readings/run.ts';

export interface ShippedHandlerSettings {
  imageConvert?: ImageConvertSettings;
  contractSource?: ContractSourceSettings;
}

/** The code of all shipped types, in the order of `SHIPPED_TYPES`. Only workers need it. */
export function createShippedHandlers(settings: ShippedHandlerSettings = {}): Registration[] {
  return [
    createImageConvertHandler(settings.imageConvert ?? {}),
    createContractSourceHandler(settings.contractSource ?? {}),
    createMeterReadingsHandler(),
  ];
}
