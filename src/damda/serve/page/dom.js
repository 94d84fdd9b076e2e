// Makes elements. Knows the DOM; does not know damda. Text becomes text nodes, never HTML.

/** An element: `h("button", {class: "x", onclick: f, "aria-label": "y"}, "text", node, null)`. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  send: ["M12 19V5", "M6 11l6-6 6 6"],
  stop: ["M7 7h10v10H7z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  fresh: ["M12 5v14", "M5 12h14"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2v2M12 20v2M2 12h2M20 12h2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400"],
  moon: ["M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z"],
  up: ["M7 11v9H4v-9z", "M7 11l4-8c1.700 0 2.600 1.200 2.300 3l-.700 4h5.600c1.300 0 2.200 1.200 1.900 2.400l-1.500 6c-.200 1-1 1.600-2 1.600H7"],
  down: ["M17 13V4h3v9z", "M17 13l-4 8c-1.700 0-2.600-1.200-2.300-3l.700-4H5.800c-1.300 0-2.200-1.200-1.900-2.400l1.500-6c.200-1 1-1.600 2-1.600H17"],
  copy: ["M9 9h11v11H9z", "M5 15H4V4h11v1"],
  done: ["M5 12.500l4.500 4.500L19 7.500"],
  trace: ["M4 6h9", "M8 12h9", "M12 18h8"],
  upload: ["M12 16V4", "M7 9l5-5 5 5", "M4 20h16"],
  again: ["M20 11a8 8 0 1 0-2.300 6.300", "M20 4v7h-7"],
  remove: ["M4 7h16", "M9 7V4h6v3", "M6 7l1 13h10l1-13"],
  file: ["M6 3h8l4 4v14H6z", "M14 3v4h4"],
  previous: ["M15 5l-7 7 7 7"],
  next: ["M9 5l7 7-7 7"],
  warn: ["M12 4l9 16H3z", "M12 10v4", "M12 17v.1"],
};

/** A line icon; for decoration, the name is said by the button around it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `i i-${name}`);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Moves the focus with arrow keys among the elements that a selector finds in a container. */
export function arrows(container, selector) {
  container.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...container.querySelectorAll(selector)].filter((one) => one.offsetParent);
    const next = all[all.indexOf(document.activeElement) + step];
    if (all.includes(document.activeElement)) event.preventDefault();
    if (all.includes(document.activeElement) && next) next.focus();
  });
}
