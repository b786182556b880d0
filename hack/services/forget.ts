// Removes the folders given, and what their symbolic links (see makeOwnFolder) lead to under /var/tmp.
import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';

for (const folder of process.argv.slice(2).filter((path) => existsSync(path))) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const target = entry.isSymbolicLink() ? readlinkSync(join(folder, entry.name)) : '';
    if (/^\/var\/tmp\/longshore-[0-9a-f]{16}$/.test(target)) rmSync(target, { recursive: true, force: true });
  }
  rmSync(folder, { recursive: true, force: true });
}
