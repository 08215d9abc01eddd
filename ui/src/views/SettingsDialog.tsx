import { current, ensureCurrent, keep } from "../chat";
import type { SettingValue } from "../conversation";
import { type Field, FIELDS } from "../fields";
import { dialog } from "../page";
import { props } from "../server";
import { t } from "../texts";
import { Dialog } from "./Dialog";
import { IconButton } from "./icons";

const RANDOM_SEED = 4294967295;

function shownDefault({ name, kind }: Field): string {
  const value = props.value?.default_generation_settings.params[name];
  if (value === undefined) return "";
  if (kind === "list") return Array.isArray(value) && value.length ? value.join(" ") : t.settings.none;
  if (name === "seed" && (value === RANDOM_SEED || value === -1)) return t.settings.random;
  if (name === "n_predict" && value === -1) return t.settings.unlimited;
  return String(Number((value as number).toPrecision(6)));
}

function change(name: string, value: SettingValue | undefined): void {
  const conversation = ensureCurrent();
  const { [name]: _old, ...settings } = conversation.settings;
  if (value !== undefined) settings[name] = value;
  keep({ ...conversation, settings });
}

function readInput(field: Field, text: string): SettingValue | undefined {
  if (field.kind === "list") {
    const lines = text.split("\n").filter(Boolean);
    return lines.length ? lines : undefined;
  }
  if (!text.trim() || !Number.isFinite(Number(text))) return undefined;
  const bounded = Math.min(Math.max(Number(text), field.min ?? -Infinity), field.max ?? Infinity);
  return field.step === 1 ? Math.round(bounded) : bounded;
}

function Setting({ field }: { field: Field }) {
  const [label, help] = t.fields[field.name]!;
  const value = current.value?.settings[field.name];
  const fallback = shownDefault(field);
  const id = `setting-${field.name}`;
  const common = { id, placeholder: fallback, "aria-describedby": `${id}-help` };
  const changed = (event: { currentTarget: { value: string } }) => change(field.name, readInput(field, event.currentTarget.value));
  return (
    <div class={`setting ${value === undefined ? "" : "changed"}`}>
      <label for={id}>{label}</label>
      <div class="setting-input">
        {field.kind === "list" ? (
          <textarea {...common} rows={2} value={Array.isArray(value) ? value.join("\n") : ""} onChange={changed} />
        ) : (
          <input {...common} type="number" min={field.min} max={field.max} step={field.step === 1 ? 1 : "any"} value={value === undefined ? "" : String(value)} onChange={changed} />
        )}
        <IconButton icon="reset" label={`${t.settings.reset}: ${label}`} disabled={value === undefined} onClick={() => change(field.name, undefined)} />
      </div>
      <p class="help" id={`${id}-help`}>
        {help} {field.kind === "list" && t.settings.listHelp} {fallback && <span class="default">{t.settings.default(fallback)}</span>}
      </p>
    </div>
  );
}

function SystemPrompt() {
  const unsupported = props.value?.chat_template_caps?.supports_system_role === false;
  return (
    <div class="setting wide">
      <label for="system">{t.settings.system}</label>
      <textarea
        id="system" rows={4} aria-describedby="system-help" value={current.value?.system ?? ""}
        onChange={(event) => keep({ ...ensureCurrent(), system: event.currentTarget.value })}
      />
      <p class="help" id="system-help">{t.settings.systemHelp} {unsupported && t.settings.systemUnsupported}</p>
    </div>
  );
}

const GROUPS = ["basic", "choice", "repeat", "other"] as const;

export function SettingsDialog() {
  // What is being typed counts too when the dialog is closed.
  const close = () => {
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    dialog.value = null;
  };
  return (
    <Dialog heading={t.settings.heading} close={t.settings.close} onClose={close} class="drawer">
      <p class="help">{t.settings.intro}</p>
      <SystemPrompt />
      {GROUPS.map((group) => (
        <details key={group} open={group === "basic"}>
          <summary><h3>{t.settings.groups[group]}</h3></summary>
          <div class="settings-grid">{FIELDS.filter((field) => field.group === group).map((field) => <Setting key={field.name} field={field} />)}</div>
        </details>
      ))}
      <button type="button" disabled={!Object.keys(current.value?.settings ?? {}).length} onClick={() => keep({ ...ensureCurrent(), settings: {} })}>
        {t.settings.resetAll}
      </button>
    </Dialog>
  );
}
