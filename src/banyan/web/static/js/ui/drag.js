// Reordering rows by pointer: the row follows, its neighbours make room, the drop tells the new place.

import { prefersLessMotion } from "../lib/dom.js";

const SLOP_PX = 6;
const EDGE_PX = 60;
const SCROLL_PX = 10;

/**
 * Make the children of `list` that match `selector` draggable. A mouse may take a row anywhere but at its
 * controls; a finger needs the handle (".drag-handle"), or scrolling would be impossible.
 * scroller() is what scrolls; onDrop(key, beforeKey) is called with the rows' data-key, beforeKey null for the end.
 */
export function makeSortable(list, { selector, scroller, onDrop }) {
  let suppressClick = false;

  list.addEventListener("pointerdown", (down) => {
    const row = down.target.closest(selector);
    if (!row || down.button !== 0) return;
    const onHandle = down.target.closest(".drag-handle");
    if (!onHandle && (down.pointerType !== "mouse" || down.target.closest("input, textarea, select, label, a, [data-no-drag]"))) return;
    begin(row, down);
  });

  // The click that ends a drag is not a click on the row.
  list.addEventListener("click", (event) => {
    if (!suppressClick) return;
    suppressClick = false;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  function begin(row, down) {
    let drag = null;

    const onMove = (event) => {
      if (event.pointerId !== down.pointerId) return;
      if (!drag) {
        if (Math.abs(event.clientY - down.clientY) < SLOP_PX) return;
        drag = lift(row, down);
      }
      event.preventDefault();
      drag.pointerY = event.clientY;
      shift(drag);
    };
    const finish = (event) => {
      if (event.pointerId !== undefined && event.pointerId !== down.pointerId) return;
      removeEventListener("pointermove", onMove);
      removeEventListener("pointerup", finish);
      removeEventListener("pointercancel", finish);
      removeEventListener("keydown", onKey, true);
      if (!drag) return;
      const dropped = event.type === "pointerup";
      settle(drag);
      suppressClick = dropped;
      setTimeout(() => (suppressClick = false));
      if (dropped && drag.to !== drag.from) {
        const before = drag.others[drag.to] ?? null;
        onDrop(row.dataset.key, before?.dataset.key ?? null);
      }
    };
    const onKey = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      finish({ type: "cancel" });
    };
    addEventListener("pointermove", onMove, { passive: false });
    addEventListener("pointerup", finish);
    addEventListener("pointercancel", finish);
    addEventListener("keydown", onKey, true);
  }

  function lift(row, down) {
    const rows = [...list.querySelectorAll(selector)];
    const others = rows.filter((each) => each !== row);
    const box = row.getBoundingClientRect();
    const drag = {
      row, others, from: rows.indexOf(row), to: rows.indexOf(row), height: box.height,
      startY: down.clientY, pointerY: down.clientY, startScroll: scroller().scrollTop, box,
      middles: others.map((each) => {
        const { top, height } = each.getBoundingClientRect();
        return top + height / 2;
      }),
      frame: 0,
    };
    list.classList.add("sorting");
    row.classList.add("dragging");
    const tick = () => {
      const { top, bottom } = scroller().getBoundingClientRect();
      if (drag.pointerY < top + EDGE_PX) scroller().scrollTop -= SCROLL_PX;
      else if (drag.pointerY > bottom - EDGE_PX) scroller().scrollTop += SCROLL_PX;
      shift(drag);
      drag.frame = requestAnimationFrame(tick);
    };
    drag.frame = requestAnimationFrame(tick);
    return drag;
  }

  // A row above the pointer's place stays or moves up by one; one below stays or moves down.
  function shift(drag) {
    const scrolled = scroller().scrollTop - drag.startScroll;
    const offset = drag.pointerY - drag.startY + scrolled;
    const middle = drag.box.top + drag.height / 2 + offset;
    drag.to = drag.middles.filter((each) => each < middle).length;
    drag.row.style.transform = `translateY(${offset}px)`;
    drag.others.forEach((each, index) => {
      const by = index >= drag.to && index < drag.from ? drag.height : index < drag.to && index >= drag.from ? -drag.height : 0;
      each.style.transform = by ? `translateY(${by}px)` : "";
    });
  }

  function settle(drag) {
    cancelAnimationFrame(drag.frame);
    list.classList.remove("sorting");
    drag.row.classList.remove("dragging");
    for (const each of [drag.row, ...drag.others]) each.style.transform = "";
    if (!prefersLessMotion()) drag.row.animate([{ boxShadow: "0 8px 24px rgb(0 0 0 / .14)" }, { boxShadow: "none" }], 200);
  }
}
