// Who is signed in. The access token lives in this variable only; the refresh token is an HttpOnly
// cookie that scripts cannot read. localStorage holds just the id of the last user, a hint that
// there is a session to resume and whose offline copy to open.

import { exclusively, tabChannel } from "../lib/locks.js";

const LAST_USER = "banyan:user";
const LOGOUT_OWED = "banyan:logout-owed";
const RENEW_BEFORE_SECONDS = 60;

/** The server says that the session is over. */
export class SessionEnded extends Error {
  get status() {
    return 401;
  }
}

/** onEnded(reason) is called once when the session ends without the user asking: "expired" or "elsewhere". */
export function createSession({ api, onEnded }) {
  let token = null;
  let userId = localStorage.getItem(LAST_USER);
  let sessionId = null;
  let renewing = null;
  let timer = 0;

  const tabs = tabChannel("banyan:session", (message) => {
    if (message.userId !== userId) location.reload();
  });

  function accept(answer) {
    if (userId && answer.user_id !== userId && token) {
      // Another tab signed in as somebody else and the cookie is theirs now: this page shows the wrong person.
      location.reload();
      throw new SessionEnded("Another person has signed in.");
    }
    token = answer.access_token;
    userId = answer.user_id;
    sessionId = answer.session_id;
    localStorage.setItem(LAST_USER, userId);
    clearTimeout(timer);
    const wait = Math.max(5, answer.expires_in - RENEW_BEFORE_SECONDS);
    timer = setTimeout(() => renew().catch(() => {}), wait * 1000);
  }

  function forget() {
    token = null;
    userId = null;
    sessionId = null;
    clearTimeout(timer);
    localStorage.removeItem(LAST_USER);
  }

  /** Trade the cookie for a new access token; one at a time in this browser. Throws SessionEnded, or why the server could not be asked. */
  function renew() {
    if (!userId) return Promise.reject(new SessionEnded("Nobody is logged in."));
    renewing ??= exclusively("banyan-refresh", async () => {
      try {
        accept((await api.post("/auth/refresh", {}, { anonymous: true })).data);
      } catch (error) {
        if (error.status !== 401) throw error;
        const had = userId;
        forget();
        if (had) onEnded("expired", had);
        throw new SessionEnded("Your session has ended. Please log in again.");
      }
    }).finally(() => {
      renewing = null;
    });
    return renewing;
  }

  return {
    get userId() {
      return userId;
    },
    get sessionId() {
      return sessionId;
    },
    get hasToken() {
      return token !== null;
    },
    renew,

    async token() {
      if (!token) await renew();
      return token;
    },

    async login(email, password) {
      const answer = await api.post("/auth/login", { email, password, delivery: "cookie", device: deviceName() }, { anonymous: true });
      token = null; // a login may change the person
      accept(answer.data);
      localStorage.removeItem(LOGOUT_OWED);
      tabs.post({ userId });
    },

    /** End the session here and on the server; offline, the server is told at the next start. */
    async logout() {
      const held = token;
      forget();
      tabs.post({ userId: null });
      try {
        await api.post("/auth/logout", {}, { anonymous: true, headers: held ? { Authorization: `Bearer ${held}` } : {} });
      } catch (error) {
        if (error.isTransient) localStorage.setItem(LOGOUT_OWED, "yes");
      }
    },

    /** Tell the server about a logout that was made while offline. */
    async settle() {
      if (!localStorage.getItem(LOGOUT_OWED)) return;
      await api.post("/auth/logout", {}, { anonymous: true }).catch((error) => {
        if (error.isTransient) throw error;
      });
      localStorage.removeItem(LOGOUT_OWED);
    },

    forget,
  };
}

/** "Chrome on Linux": how this browser appears in the list of devices. */
function deviceName() {
  const agent = navigator.userAgent;
  const browser = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]].find(([sign]) => agent.includes(sign));
  const system = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]].find(([sign]) => agent.includes(sign));
  return `${browser?.[1] ?? "Browser"} on ${system?.[1] ?? "a computer"}`;
}
