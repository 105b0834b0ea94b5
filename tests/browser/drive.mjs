// Drives one Chromium as a person would. Its first line on stdin says which, after that each line is an order,
// answered by one line with the same `id`; orders of several tests may run at once, each in a context of its own, which
// shares nothing with the others: no cookies, no cache.
//
//   {"id": 1, "order": "start", "executable": "/usr/bin/chromium", "args": […]}
//   {"id": 2, "order": "context", "context": "a-test"}
//   {"id": 3, "order": "goto", "context": "a-test", "url": "https://…"}
//
// A page is named by `page`, and is 1 where nothing is said. Chromium ends when stdin does.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

/** How long a page may take to do as it is told. */
const PATIENCE_MILLIS = 60_000;

let browser;
const contexts = new Map();

/** What a person sees. */
async function seen(page, status) {
  for (let tries = 5; ; tries -= 1) {
    await page.waitForLoadState();
    try {
      const text = await page.evaluate(() => document.body?.innerText ?? '');
      return { url: page.url(), status: status ?? page.lastStatus ?? 0, title: await page.title(), text };
    } catch (error) {
      // The page leads on by itself.
      if (!tries) throw error;
    }
  }
}

function open(context, number, page) {
  page.setDefaultTimeout(PATIENCE_MILLIS);
  page.on('response', (response) => {
    if (response.request().isNavigationRequest() && response.frame() === page.mainFrame()) page.lastStatus = response.status();
  });
  context.pages.set(number, page);
  return page;
}

const orders = {
  start: async (_, { executable, args }) => {
    browser = await chromium.launch({ executablePath: executable, args, chromiumSandbox: false });
    return browser.version();
  },
  /** `past_warnings`: whoever it is goes on where the browser warns of a certificate. */
  context: async (_, { context: name, past_warnings: ignoreHTTPSErrors = false }) => {
    const made = await browser.newContext({ viewport: { width: 900, height: 640 }, ignoreHTTPSErrors });
    const context = { made, pages: new Map() };
    contexts.set(name, context);
    open(context, 1, await made.newPage());
  },
  /** A tab is closed, and the context with its last one. */
  close: async (page, { context: name, page: number }) => {
    const { made, pages } = contexts.get(name);
    pages.delete(number);
    await (pages.size ? page.close() : made.close());
    if (!pages.size) contexts.delete(name);
  },
  /** Another tab. */
  tab: async (_, { context: name, tab }) => {
    const context = contexts.get(name);
    open(context, tab, await context.made.newPage());
  },
  goto: async (page, { url }) => {
    const response = await page.goto(url);
    return seen(page, response?.status());
  },
  /** Goes there, but no further than to an address that begins so, which is not asked: says which that would be. */
  stop_before: async (page, { url, before }) => {
    let asked = null;
    // Not by `page.route`, which does not see where a redirect leads.
    const network = await page.context().newCDPSession(page);
    network.on('Fetch.requestPaused', ({ requestId, request }) => {
      asked = request.url;
      const headers = [{ name: 'content-type', value: 'text/html' }];
      network.send('Fetch.fulfillRequest', { requestId, responseCode: 200, responseHeaders: headers, body: '' }).catch(() => {});
    });
    await network.send('Fetch.enable', { patterns: [{ urlPattern: `${before}*` }] });
    await page.goto(url);
    await network.detach();
    return asked;
  },
  /** The button of the browser, not of the page. */
  back: async (page) => {
    await page.goBack();
    return seen(page);
  },
  reload: async (page) => {
    await page.reload();
    return seen(page);
  },
  look: async (page) => seen(page),
  fill: async (page, { label, value }) => page.getByLabel(label, { exact: true }).fill(value),
  choose: async (page, { label, value }) => page.getByLabel(label, { exact: true }).selectOption(value).then(() => null),
  /** A button or a link, by the name that a person reads, and what is seen then. */
  click: async (page, { name }) => {
    const found = page.getByRole('button', { name, exact: true }).or(page.getByRole('link', { name, exact: true }));
    const moved = page.waitForEvent('framenavigated', (frame) => frame === page.mainFrame());
    await Promise.all([moved, found.first().click()]);
    return seen(page);
  },
  /** A link that opens a tab of its own. */
  click_into_tab: async (page, { context: name, name: words, tab }) => {
    const opened = page.waitForEvent('popup');
    await page.getByRole('link', { name: words, exact: true }).click();
    await seen(open(contexts.get(name), tab, await opened));
  },
  /** Waits until the page says so. */
  expect: async (page, { text }) => {
    await page.getByText(text).first().waitFor();
    return seen(page);
  },
  /** Waits until the page is at an address that begins so. */
  at: async (page, { url }) => {
    await page.waitForURL((at) => at.href.startsWith(url));
    return seen(page);
  },
  /** As a person sees it who has a light screen, and one who has a dark one. */
  screenshot: async (page, { path }) => {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${path}-${colorScheme}.png`, animations: 'disabled', fullPage: true });
    }
  },
  cookies: async (_, { context: name }) => contexts.get(name).made.cookies(),
  /** The script of a page asks for something. */
  fetch: async (page, { url, options }) => page.evaluate(async ([url, options]) => {
    const answer = await fetch(url, options ?? {});
    return {
      status: answer.status, redirected: answer.redirected, url: answer.url, type: answer.type,
      headers: Object.fromEntries(answer.headers), text: await answer.text(),
    };
  }, [url, options]),
  /** The page sends a form as a person does who presses its button. */
  post: async (page, { url, fields }) => {
    const moved = page.waitForEvent('framenavigated', (frame) => frame === page.mainFrame());
    await page.evaluate(([url, fields]) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', action: url });
      for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { name, value }));
      document.body.append(form);
      form.submit();
    }, [url, fields]);
    await moved;
    return seen(page);
  },
  /** What became of the WebSocket that the script of the page opened, as it says itself. */
  socket_state: async (page) => page.evaluate(() => window.theSocket),
};

const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { id, order, ...rest } = JSON.parse(line);
  let answer;
  try {
    const page = contexts.get(rest.context)?.pages.get(rest.page ?? 1);
    answer = { id, ok: (await orders[order](page, rest)) ?? null };
  } catch (error) {
    answer = { id, error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
lines.on('close', async () => {
  await browser?.close().catch(() => {});
  process.exit(0);
});
