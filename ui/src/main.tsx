import { render } from "preact";
import { openStore } from "./chat";
import { applyTheme } from "./page";
import { watchServer } from "./server";
import "./styles.css";
import { App } from "./views/App";

applyTheme();
void watchServer();
await openStore();
render(<App />, document.getElementById("app")!);
