package command

import (
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// schema is a JSON Schema.
type schema = map[string]any

// OpenRPC describes the API as a document of the OpenRPC specification, version
// 1.3 (https://spec.open-rpc.org): the method of clients, and all commands as
// methods.
func (c *Commands) OpenRPC() map[string]any {
	methods := []any{cliMethod()}
	for _, name := range c.Methods() {
		methods = append(methods, c.byMethod(name).openRPC())
	}
	return map[string]any{
		"openrpc": "1.3.2",
		"info":    map[string]any{"title": "Hop3", "version": c.server.Version, "license": map[string]any{"name": "Apache-2.0"}},
		"methods": methods,
		"components": map[string]any{"schemas": map[string]any{
			"Items": schema{"type": "array", "description": "what a client shows, in this order", "items": schema{
				"type": "object", "required": []string{"t"},
				"properties": schema{"t": schema{"type": "string", "description": "which kind of item; clients show what they do not know as text"}},
			}},
		}},
	}
}

func cliMethod() map[string]any {
	text := schema{"type": "string"}
	return map[string]any{
		"name": api.Method, "summary": "Run a command line", "paramStructure": "by-name",
		"params": []any{
			param("cli_args", "the words of the command line", true, schema{"type": "array", "items": text}),
			param("extra_args", "what does not fit into one", false, schema{"type": "object", "properties": schema{
				"verbosity":   schema{"type": "integer", "minimum": 0, "maximum": 3},
				"streaming":   schema{"type": "boolean", "description": "answer a deploy with a stream to follow"},
				"env_vars":    schema{"type": "object", "additionalProperties": text},
				"repository":  schema{"type": "string", "contentEncoding": "base64", "description": "the files of a deploy, as .tar.gz"},
				"import_data": schema{"type": "string", "contentEncoding": "base64", "description": "the input of a command"},
			}}),
		},
		"result": itemsResult(),
	}
}

func itemsResult() map[string]any {
	return map[string]any{"name": "items", "schema": schema{"$ref": "#/components/schemas/Items"}}
}

func param(name, description string, required bool, s schema) map[string]any {
	p := map[string]any{"name": name, "required": required, "schema": s}
	if description != "" {
		p["description"] = description
	}
	return p
}

// openRPC describes a command as a method.
func (c *Command) openRPC() map[string]any {
	text := schema{"type": "string"}
	params := []any{}
	if c.App != NoApp {
		params = append(params, param(appFlag.Name, "the app", c.App == NeedsApp, text))
	}
	if c.Max != 0 {
		args := schema{"type": "array", "items": text, "minItems": c.Min}
		if c.Max != Any {
			args["maxItems"] = c.Max
		}
		params = append(params, param(argsParam, c.Usage, c.Min > 0, args))
	}
	for _, f := range c.Flags {
		s := schema{"type": "boolean"}
		if f.Value != "" {
			s = schema{"oneOf": []any{text, schema{"type": "integer"}, schema{"type": "array", "items": text}}}
		}
		params = append(params, param(f.Name, strings.TrimSpace(f.Value+" "+f.Help), false, s))
	}
	return map[string]any{
		"name": methodOf(c.Name), "summary": c.Summary, "paramStructure": "by-name", "params": params,
		"result": itemsResult(), "x-hop3-who": whoMay(c.Who),
	}
}

func whoMay(w Who) string {
	switch w {
	case Public:
		return "anybody"
	case Admin:
		return "administrators"
	default:
		return "users"
	}
}
