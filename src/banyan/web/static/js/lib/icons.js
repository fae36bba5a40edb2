// Line icons, 20 × 20, drawn with the current text colour. They are decoration: the name is on the control.

import { s } from "./dom.js";

const PATHS = {
  plus: "M10 4v12M4 10h12",
  check: "M4.5 10.5l3.6 3.6 7.4-8",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.4 13.4L17 17",
  bell: "M10 3a4.6 4.6 0 0 0-4.6 4.6c0 4.2-1.7 5.6-1.7 5.6h12.6s-1.7-1.4-1.7-5.6A4.6 4.6 0 0 0 10 3zM8.4 16.2a1.8 1.8 0 0 0 3.2 0",
  gear: "M4 6.2h5.4M14.2 6.2H16M4 13.8h1.8M10.6 13.8H16M11.8 8.4a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM8.2 16a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  close: "M5 5l10 10M15 5L5 15",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 10h7.6l.7-10M8.4 9v4.5M11.6 9v4.5",
  pencil: "M4 16l.8-3.4L13 4.4a1.7 1.7 0 0 1 2.4 0l.2.2a1.7 1.7 0 0 1 0 2.4l-8.2 8.2z",
  calendar: "M4 5.5h12v11H4zM4 9h12M7 3.5v3M13 3.5v3",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4.2l2.8 1.8",
  flag: "M5 17V4M5 4.6c3.5-2 6 1.6 10 0v7c-4 1.6-6.5-2-10 0",
  tag: "M3.5 3.5h6l7 7-6 6-7-7zM7 7h.01",
  list: "M7.5 5.5H16M7.5 10H16M7.5 14.5H16M4 5.5h.01M4 10h.01M4 14.5h.01",
  inbox: "M3.5 11l2-6.5h9l2 6.5v5h-13zM3.5 11H7.5a2.5 2.5 0 0 0 5 0h4",
  sun: "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M4.7 15.3l1-1M14.3 5.7l1-1",
  moon: "M16 11.8A6.5 6.5 0 0 1 8.2 4a6.5 6.5 0 1 0 7.8 7.8z",
  half: "M10 16.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM10 3.5v13M10 6l4 0M10 10h6.5M10 14h4",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  grip: "M8 5.5h.01M12 5.5h.01M8 10h.01M12 10h.01M8 14.5h.01M12 14.5h.01",
  note: "M4.5 5h11M4.5 9h11M4.5 13h6",
  chevron: "M7.5 5l5 5-5 5",
  back: "M12.5 5l-5 5 5 5",
  cloud: "M5.8 15.5a3.3 3.3 0 0 1-.4-6.6 4.7 4.7 0 0 1 9-.3 3.5 3.5 0 0 1-.2 6.9M3.5 3.5l13 13",
  logout: "M8 4H4v12h4M8.5 10H17M13.8 6.8L17 10l-3.2 3.2",
  user: "M10 10a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 10 10zM3.8 16.5c.8-3 3.2-4.5 6.2-4.5s5.4 1.5 6.2 4.5",
  device: "M3.5 4.5h13v8.5h-13zM7 16h6M10 13v3",
  phone: "M6.5 3h7v14h-7zM9.5 14.8h1",
  shield: "M10 3l6 2.2v4.3c0 3.8-2.5 6.2-6 7.5-3.5-1.3-6-3.7-6-7.5V5.2z",
  mail: "M3.5 5h13v10h-13zM3.5 5.8L10 11l6.5-5.2",
  alert: "M10 3.5l7 12.5H3zM10 8.2v3.6M10 14h.01",
  spark: "M10 3l1.7 5.3L17 10l-5.3 1.7L10 17l-1.7-5.3L3 10l5.3-1.7z",
  history: "M4 10a6 6 0 1 0 2-4.5L4 7.2M4 3.8v3.4h3.4M10 7v3.3l2.2 1.4",
  keyboard: "M3 5.5h14v9H3zM6 8.5h.01M8.7 8.5h.01M11.3 8.5h.01M14 8.5h.01M6.5 11.5h7",
  eye: "M2.5 10S5.2 5 10 5s7.5 5 7.5 5-2.7 5-7.5 5-7.5-5-7.5-5zM10 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  sliders: "M4 6h6M14 6h2M4 14h2M10 14h6M12 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 16a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
};

export function icon(name, className = "icon") {
  return s("svg", { class: className, viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" }, s("path", { d: PATHS[name] }));
}

/** The banyan mark: a canopy whose branches have sent down roots. */
export function mark(className = "mark") {
  return s("svg", { class: className, viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    s("path", { class: "mark-canopy", d: "M16 3.5c3.7 0 6 1.9 6.9 4.1 3.8.1 6.6 2.5 6.6 5.6 0 3.2-2.9 5.3-6.5 5.3H9c-3.6 0-6.5-2.1-6.5-5.3 0-3.1 2.8-5.5 6.6-5.6C10 5.4 12.3 3.5 16 3.5z" }),
    s("path", { class: "mark-roots", d: "M16 16v12.5M16 22c-2.5-.6-4-2.2-4.5-5M16 20.5c2.5-.6 4-2 4.5-4.5M8.5 17.5v11M23.5 17.5v11M12.6 28.5h6.8M7 28.5h3M22 28.5h3" }));
}
