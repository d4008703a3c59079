// Programs that may be missing: from the environment (KAMD_HELM=...), from tests/deploy/tools, or from the PATH.
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = fileURLToPath(new URL('../../../', import.meta.url));
const BUILD = process.env.BUILD || join(top, '.build');

const works = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

export const find = (name) => [process.env[`KAMD_${name.toUpperCase()}`], join(BUILD, 'tools', name),
  ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name))].find((path) => path && works(path));

export const missing = (name) => (find(name) ? false : `there is no ${name} here: tests/deploy/tools gets it`);

export const run = (name, args, options = {}) => execFileSync(find(name), args, { encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['pipe', 'pipe', 'pipe'], ...options });
