import { useState } from "preact/hooks";
import { address, apiKey, base } from "../api";
import { model, props } from "../server";
import { cluster, curl, javascript, type Place, python, withFetch } from "../snippets";
import { t } from "../texts";
import { CopyButton } from "./Copy";

function Snippet({ heading, help, code }: { heading: string; help?: string; code: string }) {
  return (
    <section class="card">
      <h2>{heading}</h2>
      {help && <p class="help">{help}</p>}
      <div class="code">
        <div class="code-head"><span /><CopyButton named text={() => code} label={`${t.chat.copy}: ${heading}`} /></div>
        <pre tabIndex={0}><code>{code}</code></pre>
      </div>
    </section>
  );
}

function Value({ label, value, note }: { label: string; value: string; note?: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{note ?? <><code>{value}</code><CopyButton text={() => value} label={`${t.chat.copy}: ${label}`} /></>}</dd>
    </div>
  );
}

export function UseView() {
  const [service, setService] = useState("mistral-api");
  const [namespace, setNamespace] = useState("default");
  const here: Place = { url: address("v1"), model: model.value?.id ?? "default", needsKey: apiKey.value !== "" };
  const inside: Place = { ...here, url: `http://${service}.${namespace}.svc:8000${props.value?.api_prefix ?? ""}/v1` };
  return (
    <main id="main" class="page" tabIndex={-1}>
      <h1>{t.use.heading}</h1>
      <section class="card">
        <p>{t.use.intro}</p>
        <dl class="rows values">
          <Value label={t.use.baseUrl} value={here.url} />
          <Value label={t.use.modelName} value={here.model} />
          <Value label={t.use.key} value="" note={here.needsKey ? t.use.keyNeeded : t.use.keyNotNeeded} />
        </dl>
        <p class="help">{t.use.toolsHelp} <a href={new URL("docs", base).href}>{t.use.docs}</a></p>
      </section>
      <Snippet heading={t.use.curl} code={curl(here)} />
      <Snippet heading={t.use.python} help={t.use.pythonHelp} code={python(here)} />
      <Snippet heading={t.use.javascript} help={t.use.javascriptHelp} code={javascript(here)} />
      <Snippet heading={t.use.fetch} code={withFetch(here)} />
      <section class="card">
        <div class="row">
          <label>{t.use.service} <input value={service} onInput={(event) => setService(event.currentTarget.value.trim())} /></label>
          <label>{t.use.namespace} <input value={namespace} onInput={(event) => setNamespace(event.currentTarget.value.trim())} /></label>
        </div>
      </section>
      <Snippet heading={t.use.cluster} help={t.use.clusterHelp} code={cluster(inside)} />
    </main>
  );
}
