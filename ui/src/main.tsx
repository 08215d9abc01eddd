import { render } from "preact";
import { base } from "./api";
import { openStore } from "./chat";
import { applyTheme } from "./page";
import { watchServer } from "./server";
import "./styles.css";
import { App } from "./views/App";

// Behind a proxy that strips a prefix the page may have been asked for without the slash; from now on it is there.
if (!location.pathname.startsWith(base.pathname)) history.replaceState(null, "", base.pathname + location.search + location.hash);
applyTheme();
void watchServer();
await openStore();
render(<App />, document.getElementById("app")!);
