// What the documentation does beyond being read: search, copy buttons, the menu on small screens, and
// where one is on a long page. Without it all pages can be read just the same.
"use strict";

// ---- copy buttons

for (const pre of document.querySelectorAll("pre:not(.signature)")) {
  const frame = document.createElement("div");
  frame.className = "copied";
  pre.replaceWith(frame);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  frame.append(pre, button);
  button.addEventListener("click", async () => {
    await copy(textOf(pre));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// The code alone: no prompts, nothing that a program printed
function textOf(pre) {
  const copied = pre.cloneNode(true);
  for (const part of copied.querySelectorAll(".prompt, .output, .gp, .go")) part.remove();
  return copied.textContent.trimEnd() + "\n";
}

// Over plain http the browser gives pages no clipboard; a selected text can be copied everywhere
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// ---- the menu on small screens

document.getElementById("menu").addEventListener("click", (event) => {
  event.preventDefault();
  const open = document.body.classList.toggle("open");
  event.currentTarget.textContent = open ? "Close" : "Menu";
});

// ---- where one is on the page

const links = new Map();
for (const link of document.querySelectorAll(".side li a")) {
  const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  if (target) links.set(target, link);
}
let marked = null;
function mark() {
  let found = null;
  for (const [target, link] of links) {
    if (target.getBoundingClientRect().top > 120) break;
    found = link;
  }
  if (found === marked) return;
  marked?.classList.remove("here");
  found?.classList.add("here");
  marked = found;
}
addEventListener("scroll", mark, { passive: true });
mark();

// ---- search

const MOST_FOUND = 12;
const AROUND = 70;
const search = document.getElementById("search");
const input = search.querySelector("input");
const list = document.getElementById("found");
let index = null;
let chosen = -1;
search.hidden = false;

async function load() {
  index ??= fetch("search.json").then((answer) => answer.json());
  return index;
}

// How well a passage fits: every word has to occur, and weighs more in a title than in a text
function score(words, title, heading, text) {
  let sum = 0;
  for (const word of words) {
    let best = 0;
    for (const [where, weight] of [[title, 6], [heading, 8], [text, 1]]) {
      const place = where.indexOf(word);
      if (place < 0) continue;
      const whole = place === 0 || !/[\p{L}\p{N}]/u.test(where[place - 1]);
      best = Math.max(best, weight * (whole ? 2 : 1));
      if (where === word) best += 10;
    }
    if (!best) return 0;
    sum += best;
  }
  return sum;
}

function find({ pages, passages }, words) {
  const found = [];
  for (const [number, heading, anchor, text] of passages) {
    const [title, address, section] = pages[number];
    const fits = score(words, title.toLowerCase(), heading.toLowerCase(), text.toLowerCase());
    if (fits) found.push({ fits: fits + (anchor ? 0 : 3) - number / 100, title, address, section, heading, anchor, text });
  }
  found.sort((one, other) => other.fits - one.fits);
  const seen = new Set();
  return found.filter(({ address, anchor }) => {
    const key = `${address}#${anchor}`;
    return !seen.has(key) && seen.add(key);
  }).slice(0, MOST_FOUND);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// The text around the first word that was found, with the words marked
function excerpt(text, words) {
  const places = words.map((word) => text.toLowerCase().indexOf(word)).filter((place) => place >= 0);
  const near = places.length ? Math.max(0, Math.min(...places) - AROUND) : 0;
  const from = near && text.indexOf(" ", near) + 1;
  const part = (from ? "… " : "") + text.slice(from, from + 3 * AROUND);
  const made = element("p");
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  for (const [place, piece] of part.split(new RegExp(`(${escaped.join("|")})`, "i")).entries()) {
    made.append(place % 2 ? element("mark", piece) : piece);
  }
  return made;
}

function row({ title, address, section, heading, anchor, text }, words, number) {
  const item = element("li");
  item.id = `found-${number}`;
  item.setAttribute("role", "option");
  const link = element("a");
  link.href = address + (anchor ? `#${anchor}` : "");
  link.tabIndex = -1;
  link.append(element("b", heading || title), element("small", heading && heading !== title ? title : section));
  if (text) link.append(excerpt(text, words));
  item.append(link);
  return item;
}

function choose(number) {
  const items = [...list.querySelectorAll("[role=option]")];
  chosen = items.length ? (number + items.length) % items.length : -1;
  items.forEach((item, place) => item.setAttribute("aria-selected", String(place === chosen)));
  items[chosen]?.scrollIntoView({ block: "nearest" });
  if (chosen >= 0) input.setAttribute("aria-activedescendant", items[chosen].id);
}

function close() {
  list.hidden = true;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

async function show() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return close();
  const asked = input.value;
  const found = find(await load(), words);
  if (asked !== input.value) return;
  const rows = found.map((one, number) => row(one, words, number));
  list.replaceChildren(...(rows.length ? rows : [element("li", `Nothing about “${asked.trim()}”`, "none")]));
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  choose(0);
}

input.addEventListener("focus", load, { once: true });
input.addEventListener("input", show);
input.addEventListener("focus", show);
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter") {
    list.querySelector("[aria-selected=true] a")?.click();
  } else if (event.key === "Escape") {
    close();
    input.blur();
  }
});
list.addEventListener("click", close);
document.addEventListener("click", (event) => search.contains(event.target) || close());
document.addEventListener("keydown", (event) => {
  const typing = /^(input|textarea|select)$/i.test(document.activeElement?.tagName ?? "");
  if ((event.key === "/" && !typing) || (event.key === "k" && (event.metaKey || event.ctrlKey))) {
    event.preventDefault();
    input.focus();
    input.select();
  }
});
