// Shared helpers of the scripts that drive a browser.
import { createServer } from 'node:net';
import { chromium } from 'playwright-core';

/** Returns a free port. */
export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Waits until `holds` returns a truthy value, up to a number of milliseconds, and returns it. */
export async function eventually(what, holds, most = 20000) {
  const deadline = Date.now() + most;
  for (;;) {
    const held = await holds().catch(() => false);
    if (held) return held;
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Starts headless Chromium without background network requests. CHROMIUM names it. */
export function openBrowser() {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
}

let broken = 0;

/** Runs a check and prints a line for it; a check that throws has failed, and the others continue. */
export async function promise(what, check) {
  const begun = Date.now();
  try {
    await check();
    console.log(`ok      ${what} (${Date.now() - begun} ms)`);
  } catch (error) {
    broken++;
    console.log(`BROKEN  ${what}: ${error.message}`);
  }
}

/** The number of violated guarantees so far. */
export function brokenPromises() {
  return broken;
}
