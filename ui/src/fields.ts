// The sampling settings that a conversation may have; names are those of /props and of the request.

export interface Field {
  name: string;
  group: "basic" | "choice" | "repeat" | "other";
  kind: "number" | "list";
  min?: number;
  max?: number;
  step?: number;
}

const number = (name: string, group: Field["group"], min?: number, max?: number, step = 0.01): Field => {
  const field: Field = { name, group, kind: "number", step };
  if (min !== undefined) field.min = min;
  if (max !== undefined) field.max = max;
  return field;
};

export const FIELDS: Field[] = [
  number("temperature", "basic", 0, 5, 0.05),
  number("n_predict", "basic", -1, undefined, 1),
  number("seed", "basic", -1, 4294967295, 1),
  { name: "stop", group: "basic", kind: "list" },
  number("top_k", "choice", 0, undefined, 1),
  number("top_p", "choice", 0, 1),
  number("min_p", "choice", 0, 1),
  number("typical_p", "choice", 0, 1),
  number("top_n_sigma", "choice", -1, undefined, 0.1),
  number("repeat_penalty", "repeat", 0, undefined, 0.01),
  number("repeat_last_n", "repeat", -1, undefined, 1),
  number("presence_penalty", "repeat", undefined, undefined, 0.1),
  number("frequency_penalty", "repeat", undefined, undefined, 0.1),
  number("dry_multiplier", "repeat", 0, undefined, 0.1),
  number("dry_base", "repeat", undefined, undefined, 0.05),
  number("dry_allowed_length", "repeat", 0, undefined, 1),
  number("dry_penalty_last_n", "repeat", -1, undefined, 1),
  number("xtc_probability", "other", 0, 1),
  number("xtc_threshold", "other", 0, 1),
  number("dynatemp_range", "other", 0, undefined, 0.1),
  number("dynatemp_exponent", "other", 0, undefined, 0.1),
  number("mirostat", "other", 0, 2, 1),
  number("mirostat_tau", "other", 0, undefined, 0.1),
  number("mirostat_eta", "other", 0, undefined, 0.01),
];
