import { setApiKey } from './api.js';
import { byId } from './dom.js';

let open = null;

/** The field for the API key; `onKey` is called when one was entered. The key goes into memory and nowhere else. */
export function startKeyDialog(onKey) {
  const dialog = byId('key-dialog');
  const field = byId('key-field');
  byId('key-button').addEventListener('click', () => void askForKey());
  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const key = field.value.trim();
    setApiKey(key === '' ? null : key);
    dialog.close(key === '' ? '' : 'entered');
  });
  byId('key-cancel').addEventListener('click', () => dialog.close(''));
  dialog.addEventListener('close', () => {
    const entered = dialog.returnValue === 'entered';
    field.value = '';
    open?.resolve(entered);
    open = null;
    if (entered) onKey();
  });
}

/** Opens the dialog, once for all that ask at the same time; resolves to whether a key was entered. */
export function askForKey() {
  if (open !== null) return open.promise;
  open = Promise.withResolvers();
  const dialog = byId('key-dialog');
  byId('key-button').hidden = false;
  dialog.returnValue = '';
  dialog.showModal();
  return open.promise;
}
