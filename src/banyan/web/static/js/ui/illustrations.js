// The pictures of empty places: small, in the colours of the theme (classes in css/illustrations.css).

import { s } from "../lib/dom.js";

const frame = (...children) => s("svg", { class: "illustration", viewBox: "0 0 220 140", "aria-hidden": "true", focusable: "false" }, ...children);
const path = (className, d) => s("path", { class: className, d });

const ground = () => path("ill-ground", "M18 122c30-5 152-5 184 0");

/** A young banyan with room for more: nothing to do here yet. */
export const sapling = () => frame(
  s("circle", { class: "ill-sun", cx: 164, cy: 40, r: 18 }), ground(),
  path("ill-leaf", "M110 34c24 0 38 10 43 22 16 2 25 11 25 22 0 12-12 20-27 20H71c-15 0-27-8-27-20 0-11 9-20 25-22 4-12 17-22 41-22z"),
  path("ill-leaf-2", "M84 62c10-14 34-18 50-8-10 2-16 8-18 16-10-6-22-8-32-8z"),
  path("ill-root", "M110 88v34M110 104c-9-2-15-8-17-17M110 100c9-2 15-7 17-15M76 96v26M144 96v26M62 94v12M158 94v14"));

/** A canopy with the sun over it: all done. */
export const allDone = () => frame(
  s("circle", { class: "ill-sun", cx: 110, cy: 46, r: 30 }), ground(),
  path("ill-leaf", "M60 122c0-26 20-44 50-44s50 18 50 44z"),
  path("ill-tick", "M92 102l13 13 25-29"));

/** A resting bell under a leaf. */
export const quiet = () => frame(
  ground(),
  path("ill-leaf", "M138 30c22-6 40 4 44 24-20 8-38-2-44-24z"),
  path("ill-bell", "M104 40c-17 0-29 13-29 30 0 24-11 34-11 34h80s-11-10-11-34c0-17-12-30-29-30z"),
  path("ill-root", "M94 110a10 10 0 0 0 20 0M104 32v8"));

/** A magnifier over the grass. */
export const nothingFound = () => frame(
  ground(),
  path("ill-leaf", "M40 122c2-16 8-26 16-32-1 12 2 22 8 32zM164 122c1-18 8-30 20-36-2 14-2 24 2 36z"),
  s("circle", { class: "ill-glass", cx: 104, cy: 66, r: 34 }),
  path("ill-root", "M129 91l26 26"));
