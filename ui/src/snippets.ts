// Samples of how to call this server, filled with its address.

export interface Place {
  /** The OpenAI base URL. */
  url: string;
  model: string;
  needsKey: boolean;
}

const key = ({ needsKey }: Place): string => (needsKey ? "$MISTRAL_API_KEY" : "none");

export const curl = (place: Place): string => `curl ${place.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${place.needsKey ? '\n  -H "Authorization: Bearer $MISTRAL_API_KEY" \\' : ""}
  -d '{
    "messages": [{"role": "user", "content": "Hello!"}],
    "max_tokens": 100,
    "stream": true
  }'`;

export const python = (place: Place): string => `${place.needsKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(
    base_url="${place.url}",
    api_key=${place.needsKey ? 'os.environ["MISTRAL_API_KEY"]' : '"none"'},
)
stream = client.chat.completions.create(
    model="${place.model}",
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for event in stream:
    if event.choices:
        print(event.choices[0].delta.content or "", end="", flush=True)`;

export const javascript = (place: Place): string => `import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "${place.url}",
  apiKey: ${place.needsKey ? "process.env.MISTRAL_API_KEY" : '"none"'},
});
const stream = await client.chat.completions.create({
  model: "${place.model}",
  messages: [{ role: "user", content: "Hello!" }],
  stream: true,
});
for await (const event of stream) {
  process.stdout.write(event.choices[0]?.delta?.content ?? "");
}`;

export const withFetch = (place: Place): string => `const response = await fetch("${place.url}/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json"${place.needsKey ? ", Authorization: `Bearer ${key}`" : ""} },
  body: JSON.stringify({ messages: [{ role: "user", content: "Hello!" }] }),
});
const { choices } = await response.json();
console.log(choices[0].message.content);`;

export const cluster = (place: Place): string => `kubectl run ask --rm -i --restart=Never --image=curlimages/curl -- \\
  curl -s ${place.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${place.needsKey ? `\n  -H "Authorization: Bearer ${key(place)}" \\` : ""}
  -d '{"messages": [{"role": "user", "content": "Hello!"}]}'

# For a pod that speaks to OpenAI's API:
env:
  - name: OPENAI_BASE_URL
    value: ${place.url}
  - name: OPENAI_API_KEY
${place.needsKey ? "    valueFrom: {secretKeyRef: {name: mistral-api, key: api-key}}" : "    value: none"}`;
