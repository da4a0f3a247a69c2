// What the scripts that drive a browser share.
import { createServer } from 'node:net';
import { chromium } from 'playwright-core';

/** A port on which nobody listens. */
export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Waits until `holds` gives something, at most so many milliseconds, and returns it. */
export async function eventually(what, holds, most = 20000) {
  const deadline = Date.now() + most;
  for (;;) {
    const held = await holds().catch(() => false);
    if (held) return held;
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Chromium without a window, that asks nothing of the network by itself. CHROMIUM names it. */
export function openBrowser() {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
}
