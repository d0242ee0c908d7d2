import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * What the tests need beside npm packages: servers that nobody here wrote. Missing ones are installed from Debian's
 * packages when this runs as root; otherwise the tests do not start, because a skipped test proves nothing.
 */
const needed = [
  { program: 'nginx', package: 'nginx-light' },
  { program: 'prometheus', package: 'prometheus' },
  { program: 'redis-server', package: 'redis-server' },
  { program: 'curl', package: 'curl' },
  { program: 'openssl', package: 'openssl' },
];

const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];
const missing = needed.filter(({ program }) => !folders.some(folder => existsSync(`${folder}/${program}`)));

if (missing.length > 0) {
  const packages = missing.map(entry => entry.package);
  const names = missing.map(({ program }) => program).join(', ');
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(`The tests need ${names}. Install them, on Debian with: apt-get install ${packages.join(' ')}`);
    process.exit(1);
  }
  console.log(`installing ${packages.join(' ')}`);
  const run = (...words: string[]): void => {
    const { status } = spawnSync('apt-get', ['-qq', ...words], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    if (status !== 0) {
      console.error(`apt-get ${words.join(' ')} failed; the tests need ${names}`);
      process.exit(1);
    }
  };
  run('update');
  run('install', '-y', '--no-install-recommends', ...packages);
}
