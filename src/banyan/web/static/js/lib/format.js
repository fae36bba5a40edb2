// Instants and words in the user's own locale and time zone.

let locale = navigator.language;
let timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const cache = new Map();

/** Follow the profile. A value that this browser does not know leaves the browser's own in place. */
export function useLocale(profile) {
  locale = supported(profile?.locale, (value) => Intl.getCanonicalLocales(value)[0]) ?? navigator.language;
  timeZone = supported(profile?.time_zone, (value) => new Intl.DateTimeFormat("en", { timeZone: value }) && value) ??
    Intl.DateTimeFormat().resolvedOptions().timeZone;
  cache.clear();
}

function supported(value, check) {
  try {
    return value ? check(value) : null;
  } catch {
    return null;
  }
}

function formatter(options, language = locale) {
  const key = language + JSON.stringify(options);
  if (!cache.has(key)) cache.set(key, new Intl.DateTimeFormat(language, { timeZone, ...options }));
  return cache.get(key);
}

/** The wall clock of an instant: {date: "2026-03-01", time: "09:30"}. */
export function wallClock(instant) {
  // sv-SE writes ISO dates, which spares taking formatToParts apart.
  const text = formatter({ dateStyle: "short", timeStyle: "short" }, "sv-SE").format(new Date(instant));
  const [date, time] = text.split(" ");
  return { date, time };
}

/** The instant at which the user's clock shows this date and time, as RFC 3339 UTC. */
export function instantOf(date, time) {
  const wanted = Date.parse(`${date}T${time}:00Z`);
  let guess = wanted;
  // The offset depends on the instant that we are looking for; two rounds settle it, summer time included.
  for (let round = 0; round < 2; round += 1) {
    const shown = wallClock(guess);
    guess += wanted - Date.parse(`${shown.date}T${shown.time}:00Z`);
  }
  return new Date(guess).toISOString();
}

// A due date without a time means "by the end of that day".
export const END_OF_DAY = "23:59";

export const today = () => wallClock(Date.now()).date;

export function addDays(date, days) {
  const day = new Date(`${date}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + days);
  return day.toISOString().slice(0, 10);
}

const daysBetween = (from, to) => Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000);

export const capital = (text) => text.slice(0, 1).toLocaleUpperCase(locale) + text.slice(1);

/** "Today", "Tomorrow, 09:30", "Mon, 3 Mar": short enough for a chip. */
export function dueText(instant) {
  const { date, time } = wallClock(instant);
  const distance = daysBetween(today(), date);
  let day;
  if (Math.abs(distance) <= 1) day = capital(new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(distance, "day"));
  else if (distance > 1 && distance < 7) day = formatter({ weekday: "long" }).format(new Date(instant));
  else {
    const sameYear = date.slice(0, 4) === today().slice(0, 4);
    day = formatter(sameYear ? { day: "numeric", month: "short" } : { day: "numeric", month: "short", year: "numeric" }).format(new Date(instant));
  }
  return time === END_OF_DAY ? day : `${day}, ${formatter({ timeStyle: "short" }).format(new Date(instant))}`;
}

/** "5 minutes ago", "yesterday". */
export function agoText(instant) {
  const seconds = (Date.parse(instant) - Date.now()) / 1000;
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  const size = Math.abs(seconds);
  if (size < 45) return "just now";
  if (size < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return relative.format(Math.round(seconds / 3600), "hour");
  if (size < 604_800) return relative.format(Math.round(seconds / 86_400), "day");
  return formatter({ dateStyle: "medium" }).format(new Date(instant));
}

export const fullText = (instant) => formatter({ dateStyle: "full", timeStyle: "short" }).format(new Date(instant));
export const momentText = (instant) => formatter({ dateStyle: "medium", timeStyle: "short" }).format(new Date(instant));
export const dayText = (date) => new Intl.DateTimeFormat(locale, { timeZone: "UTC", weekday: "long", day: "numeric", month: "long" }).format(new Date(date));
export const todayText = () => formatter({ weekday: "long", day: "numeric", month: "long" }).format(new Date());
export const numberText = (value) => new Intl.NumberFormat(locale).format(value);
export const collator = () => new Intl.Collator(locale, { numeric: true, sensitivity: "base" });

export const dueDay = (instant) => wallClock(instant).date;

export const countText = (count, one, many = `${one}s`) => `${numberText(count)} ${count === 1 ? one : many}`;

export const initials = (name) =>
  (name ?? "").trim().split(/\s+/).slice(0, 2).map((word) => Array.from(word)[0] ?? "").join("").toLocaleUpperCase(locale) || "?";
