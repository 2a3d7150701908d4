// Runs in each document before its own programs, and notes what a console says too late or not at all.
(() => {
  const failures = [];
  const shifts = [];
  const named = (node) => {
    const it = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    return it ? it.localName + (it.id ? `#${it.id}` : it.classList?.length ? `.${it.classList[0]}` : "") : "?";
  };
  const where = (event) => (event.sourceFile || event.filename || "") + (event.lineno || event.lineNumber ? `:${event.lineno || event.lineNumber}` : "");

  addEventListener("securitypolicyviolation", (event) => {
    failures.push(`policy: ${event.effectiveDirective} refuses ${event.blockedURI} ${where(event)}`.trim());
  });
  // Captured, since the failure of a picture or a program doesn't bubble.
  addEventListener(
    "error",
    (event) => {
      const text = event instanceof ErrorEvent ? `${event.message} ${where(event)}` : `${named(event.target)} is not loaded`;
      failures.push(`error: ${text}`);
    },
    true,
  );
  addEventListener("unhandledrejection", (event) => failures.push(`unhandled rejection: ${event.reason}`));

  // What follows somebody's own click or key is no surprise to them. Browsers draw the line half a second after it, which a
  // busy machine doesn't keep, and they draw it after the first layout of a window of another size too: both would be luck.
  let touched = Infinity;
  const touch = (event) => {
    touched = Math.min(touched, event.timeStamp);
  };
  for (const kind of ["pointerdown", "keydown", "input"]) {
    addEventListener(kind, touch, true);
  }
  let width;
  addEventListener("resize", (event) => {
    if (width !== undefined && width !== innerWidth) {
      touch(event);
    }
    width = innerWidth;
  });
  addEventListener("DOMContentLoaded", () => {
    width = innerWidth;
  });
  const keep = (entries) => {
    for (const { startTime, value, sources } of entries) {
      if (startTime < touched) {
        const box = ({ x, y, width: wide, height: high }) => `${Math.round(wide)}x${Math.round(high)} at ${Math.round(x)},${Math.round(y)}`;
        shifts.push({ value, of: sources.map(({ node, previousRect, currentRect }) => `${named(node)} from ${box(previousRect)} to ${box(currentRect)}`) });
      }
    }
  };
  const observer = new PerformanceObserver((list) => keep(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  const frame = () => new Promise((done) => requestAnimationFrame(done));

  // All that is known once what the page has changed is painted.
  const told = async () => {
    await frame();
    await frame();
    keep(observer.takeRecords());
    return { failures, shifts };
  };
  // A picture of all of a page lays it out anew, and browsers report that as a jump.
  const pictured = () => {
    keep(observer.takeRecords());
    touch({ timeStamp: performance.now() });
  };
  Object.defineProperty(window, "statuspulseWatch", { value: Object.freeze({ told, pictured }) });
})();
