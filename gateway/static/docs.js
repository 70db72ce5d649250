// Shows /openapi.json and sends requests; it keeps the token in this page alone.
"use strict";

const $ = (id) => document.getElementById(id);
let api;

// Makes an element; text is always text, never markup.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

const follow = (schema) =>
  schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema || {};

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return schema.format ? `${schema.type} (${schema.format})` : schema.type || "any";
}

// An example of a body: what a client may send, to a depth.
function exampleOf(schema, depth = 0) {
  const found = follow(schema);
  if (found.enum) return found.enum[1] || found.enum[0];
  if (found.type === "array") return depth > 2 ? [] : [exampleOf(found.items, depth + 1)];
  if (found.type === "object") {
    if (depth > 3) return {};
    const fields = Object.entries(found.properties || {});
    return Object.fromEntries(
      fields.filter(([, field]) => !field.readOnly).map(([name, field]) => [name, exampleOf(field, depth + 1)]),
    );
  }
  if (found.examples) return found.examples[0];
  if (found.format === "date-time") return "2026-01-31T12:00:00Z";
  return { boolean: false, integer: 0, number: 0 }[found.type] ?? "";
}

function fieldsOf(schema) {
  const rows = Object.entries(follow(schema).properties || {}).map(([name, field]) =>
    make("tr", {},
      make("td", {}, make("code", { textContent: name })),
      make("td", { className: "faint", textContent: typeOf(field) + (field.readOnly ? ", by the server" : "") }),
      make("td", { textContent: field.description || "" })));
  return rows.length ? make("table", {}, ...rows) : undefined;
}

function authorized(headers = {}) {
  const token = $("token").value.trim();
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

function inputFor(parameter) {
  const input = make("input", { placeholder: String(parameter.example ?? parameter.schema.examples?.[0] ?? "") });
  input.dataset.name = parameter.name;
  input.dataset.place = parameter.in;
  return make("tr", {},
    make("td", {}, make("code", { textContent: parameter.name + (parameter.required ? " *" : "") })),
    make("td", { className: "faint", textContent: typeOf(parameter.schema) }),
    make("td", {}, parameter.description || "", input));
}

// The request that the inputs say: {url, headers, body}.
function requestOf(operation, path, form, body, file) {
  const headers = authorized();
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input[data-name]")) {
    const value = input.value;
    if (input.dataset.place === "path") url = url.replace(`{${input.dataset.name}}`, encodeURIComponent(value));
    else if (value && input.dataset.place === "header") headers[input.dataset.name] = value;
    else if (value) for (const one of value.split("\n")) query.append(input.dataset.name, one);
  }
  if (file && file.files[0]) {
    headers["Content-Type"] = file.files[0].type || "application/octet-stream";
    headers["Content-Disposition"] = `attachment; filename*=UTF-8''${encodeURIComponent(file.files[0].name)}`;
  } else if (body) {
    headers["Content-Type"] = "application/json";
  }
  if (String(query)) url += `?${query}`;
  return { url, headers, body: file ? file.files[0] : body ? body.value : undefined };
}

function curlOf(method, request) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const shown = Object.entries(request.headers).map(([name, value]) =>
    `-H ${quoted(`${name}: ${name === "Authorization" ? "Bearer …" : value}`)}`);
  const data = typeof request.body === "string" ? [`-d ${quoted(request.body)}`]
    : request.body ? [`--data-binary @${quoted(request.body.name)}`] : [];
  return ["curl", `-X ${method}`, ...shown, ...data, quoted(location.origin + request.url)].join(" ");
}

async function show(answer, output) {
  const type = answer.headers.get("content-type") || "";
  const head = `${answer.status} ${answer.statusText}\n` +
    [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.replaceChildren(make("pre", { textContent: head }));
  const shown = output.appendChild(make("pre"));
  if (type.startsWith("text/event-stream")) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read; !(read = await reader.read()).done;) shown.append(read.value);
  } else if (type.includes("json")) {
    shown.textContent = JSON.stringify(await answer.json(), null, 2);
  } else if (answer.status < 300) {
    const file = await answer.blob();
    const link = make("a", { href: URL.createObjectURL(file), download: "download", textContent: `${file.size} bytes` });
    shown.replaceWith(link);
  }
}

function fill(place, method, path, operation) {
  const content = operation.requestBody?.content || {};
  const schema = content["application/json"]?.schema;
  const body = schema && make("textarea", { value: JSON.stringify(exampleOf(schema), null, 2), spellcheck: false });
  const file = !schema && operation.requestBody ? make("input", { type: "file" }) : undefined;
  const parameters = operation.parameters || [];
  const form = make("form", {},
    parameters.length ? make("table", {}, ...parameters.map(inputFor)) : undefined,
    body && make("h3", { textContent: "Body" }), body, file && make("h3", { textContent: "File" }), file,
    make("p", {}, make("button", { textContent: "Send" }), " ", make("button", { type: "button", textContent: "Stop" })));
  const output = make("div");
  let sending;
  form.querySelector("button[type=button]").addEventListener("click", () => sending?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sending?.abort();
    sending = new AbortController();
    const request = requestOf(operation, path, form, body, file);
    output.replaceChildren(make("pre", { textContent: curlOf(method, request) }));
    const answered = output.appendChild(make("div", { textContent: "…" }));
    try {
      const { url, ...options } = request;
      await show(await fetch(url, { method, ...options, signal: sending.signal }), answered);
    } catch (error) {
      answered.append(make("p", { textContent: String(error) }));
    }
  });
  const answer = Object.values(operation.responses["200"].content || {})[0]?.schema;
  place.replaceChildren(
    make("p", { textContent: operation.description || "" }),
    operation["x-permission"] ? make("p", { className: "faint", textContent: `Needs ${operation["x-permission"]}.` }) : "",
    form, output,
    ...(schema ? [make("h3", { textContent: `Body: ${typeOf(schema)}` }), fieldsOf(schema)] : []),
    ...(answer ? [make("h3", { textContent: `Answer: ${typeOf(answer)}` }), fieldsOf(answer) || ""] : []));
}

function render() {
  const groups = new Map(api.tags.map((tag) => [tag.name, make("section", {},
    make("h2", { textContent: tag.name }), make("p", { className: "faint", textContent: tag.description }))]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const place = make("div");
      const details = make("details", {},
        make("summary", {},
          make("span", { className: `verb ${method}`, textContent: method.toUpperCase() }),
          make("span", { className: "path", textContent: path }),
          make("span", { className: "faint", textContent: operation.summary })),
        place);
      details.addEventListener("toggle", () => place.childElementCount || fill(place, method.toUpperCase(), path, operation));
      const article = make("article", {}, details);
      article.dataset.text = `${method} ${path} ${operation.operationId} ${operation.description}`.toLowerCase();
      groups.get(operation.tags[0]).append(article);
    }
  }
  $("operations").replaceChildren(...groups.values());
}

$("filter").addEventListener("input", () => {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  for (const article of document.querySelectorAll("article"))
    article.hidden = !words.every((word) => article.dataset.text.includes(word));
});

$("identity").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ email: $("email").value, password: $("password").value });
  const headers = { "Content-Type": "application/json" };
  const answer = await (await fetch("/v1/login", { method: "POST", headers, body })).json();
  $("password").value = "";
  if (answer.access_token) $("token").value = answer.access_token;
  $("login").textContent = answer.access_token ? `You are ${answer.user.email}.` : answer.detail;
});

fetch("/openapi.json").then((answer) => answer.json()).then((found) => {
  api = found;
  render();
}, (error) => $("operations").replaceChildren(make("p", { textContent: String(error) })));
