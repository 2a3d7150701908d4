// What makes the page wider than its window: by how many pixels, and the elements that reach furthest out.
(() => {
  const room = document.documentElement.clientWidth;
  const over = document.documentElement.scrollWidth - room;
  if (over <= 0) {
    return null;
  }
  const reach = (it) => it.getBoundingClientRect().right + scrollX;
  const named = (it) => it.localName + (it.id ? `#${it.id}` : it.classList.length ? `.${it.classList[0]}` : "");
  const wide = [...document.body.querySelectorAll("*")].filter((it) => reach(it) > room + 0.5);
  wide.sort((one, other) => reach(other) - reach(one));
  return { over, of: wide.slice(0, 5).map(named) };
})()
