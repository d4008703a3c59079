// What openapi.yaml is made of: the program's own account of itself, and the files that people write.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = fileURLToPath(new URL('../../../', import.meta.url));
export const OPENAPI = join(top, 'openapi.yaml');
export const SOURCES = join(top, 'api/openapi');
export const KAMD = resolve(process.env.KAMD_BIN || resolve(top, process.env.BUILD || '.build', 'kamd'));

const json = (command, ...args) => JSON.parse(execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'inherit'] }));
export const printApi = () => json(KAMD, '--print-api');
export const readYaml = (file) => json(join(top, 'deploy/build/yaml-to-json'), file);

// {common, plain, tags: [{file, tag, ...}]}, the tags in the order that common.yaml gives them.
export function readSources(folder = SOURCES) {
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  const files = Object.fromEntries(names.map((name) => [name, { file: name, ...readYaml(join(folder, name)) }]));
  const { 'common.yaml': common, 'plain.yaml': plain, ...rest } = files;
  const tags = Object.values(rest);
  for (const { file, tag } of tags) if (!common.tags.includes(tag)) throw new Error(`${file}: common.yaml does not list the tag ${tag}`);
  for (const tag of common.tags) if (tags.filter((one) => one.tag === tag).length !== 1) throw new Error(`the tag ${tag} needs one file`);
  return { common, plain, tags: common.tags.map((tag) => tags.find((one) => one.tag === tag)) };
}
