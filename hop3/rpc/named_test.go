package rpc_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func named(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s,"id":"n"}`, method, params)
}

// TestCommandsAreMethods calls commands by their names, with what the document
// of rpc.discover says they take.
func TestCommandsAreMethods(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, token, method, params string
		status                      int
		want                        string
	}{
		{"without parameters", w.user, "version", `null`, 200, `hop3-server 1.2.3`},
		{"as nobody", "", "app.list", `{}`, 401, `"code":401`},
		{"without the rights", w.user, "user.list", `{}`, 200, `"code":403`},
		{"with an app", w.user, "app.status", `{"app":"nosuch"}`, 200, `"code":404`},
		{"without its app", w.user, "app.status", `{}`, 200, `Which app?`},
		{"with arguments", w.user, "ps.scale", `{"app":"nosuch","args":["web=2"]}`, 200, `"code":404`},
		{"too few", w.user, "ps.scale", `{"app":"nosuch","args":[]}`, 200, `Usage`},
		{"with a number", w.user, "app.logs", `{"app":"nosuch","lines":3}`, 200, `"code":404`},
		{"with a switch", w.user, "key.list", `{"all":false}`, 200, `There are no keys`},
		{"a switch that is none", w.user, "key.list", `{"all":"yes"}`, 200, `all is true or false`},
		{"everything that is wrong", w.user, "app.logs", `{"bogus":1,"lines":{},"args":"x"}`, 200, `args is a list of strings; there is no \"bogus\"; lines is a string or a list of strings`},
		{"an argument is no flag", w.user, "app.status", `{"args":["--app=blog"]}`, 200, `Unrecognized argument(s): '--app=blog'`},
		{"an unknown method", w.user, "app.frob", `{}`, 404, `not found`},
		{"a name with blanks", w.user, "app list", `{}`, 404, `not found`},
		{"dots", w.user, "...", `{}`, 404, `not found`},
		{"a list of parameters", w.user, "app.list", `["x"]`, 200, `are an object`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.post(tt.token, named(tt.method, tt.params))
			if status != tt.status || !strings.Contains(answer, tt.want) || !strings.Contains(answer, `"id":"n"`) {
				t.Errorf("%d %s, want %d and %s", status, answer, tt.status, tt.want)
			}
		})
	}
}

func TestDiscover(t *testing.T) {
	w := newWorld(t)
	status, answer := w.post("", `{"jsonrpc":"2.0","method":"rpc.discover","id":1,"params":{"extra_args":{"repository":"aGVsbG8="}}}`)
	var got struct {
		Result struct {
			OpenRPC string
			Info    struct{ Title, Version string }
			Methods []struct {
				Name   string
				Params []struct {
					Name     string
					Required bool
					Schema   map[string]any
				}
				Who string `json:"x-hop3-who"`
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 {
		t.Fatalf("%d %v %s", status, err, answer)
	}
	if got.Result.OpenRPC != "1.3.2" || got.Result.Info.Version != "1.2.3" {
		t.Errorf("%+v", got.Result)
	}
	var names []string
	for _, m := range got.Result.Methods {
		names = append(names, m.Name)
		if len(m.Params) > 0 && m.Name == "ps.scale" && (m.Params[0].Name != "app" || !m.Params[0].Required) {
			t.Errorf("ps.scale takes %+v", m.Params)
		}
		if m.Name == "user.list" && m.Who != "administrators" {
			t.Errorf("user.list is for %s", m.Who)
		}
	}
	_, text := w.post("", request("help", "commands"))
	for _, name := range []string{"cli", "app.status", "ps.scale", "config.migrate.procfile", "deploy"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among %v", name, names)
		}
		if name != "cli" && !strings.Contains(text, `"`+strings.ReplaceAll(name, ".", " ")+`"`) {
			t.Errorf("%s is no command", name)
		}
	}
	if left, err := os.ReadDir(w.handler.Uploads.Dir); err == nil && w.handler.Uploads.Dir != "" && len(left) > 0 {
		t.Errorf("the upload of nobody's is left: %v", left)
	}
}
