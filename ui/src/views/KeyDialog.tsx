import { useState } from "preact/hooks";
import { apiKey, giveKey, keyAsked, keyRefused } from "../api";
import { t } from "../texts";
import { Dialog } from "./Dialog";

export function KeyDialog() {
  const [key, setKey] = useState("");
  return (
    <Dialog heading={t.key.heading} close={t.dismiss} onClose={() => (keyAsked.value = false)} class="narrow">
      <form onSubmit={(event) => { event.preventDefault(); if (key.trim()) giveKey(key.trim()); }}>
        {keyRefused.value && <p class="problem" role="alert">{t.key.wrong}</p>}
        <label for="key">{t.key.label}</label>
        <input id="key" type="password" autocomplete="off" spellcheck={false} value={key} autofocus onInput={(event) => setKey(event.currentTarget.value)} aria-describedby="key-help" />
        <p class="help" id="key-help">{t.key.help}</p>
        <div class="row">
          <button type="submit" class="primary">{t.key.use}</button>
          {apiKey.value && <button type="button" onClick={() => giveKey("")}>{t.key.forget}</button>}
        </div>
      </form>
    </Dialog>
  );
}
