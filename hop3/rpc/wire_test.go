package rpc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/api"
)

func request(args ...string) string {
	words, _ := json.Marshal(args)
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"cli","params":{"cli_args":%s,"extra_args":{"verbosity":1,"some_day":[1,2]}},"id":7}`, words)
}

func TestAnswersOnTheWire(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, token, body string
		status            int
		want              []string
	}{
		{"version needs no token", "", request("version"), 200, []string{`"result":[{"t":"text","text":"hop3-server 1.2.3"}]`, `"id":7`}},
		{"help has its headings", "", request("help"), 200, []string{"DAILY OPERATIONS", "MANAGEMENT", "ADMINISTRATION", "UTILITIES"}},
		{"help of all has its columns", "", request("help", "--all"), 200, []string{"ALL COMMANDS", "[app]", "[alias]", "→ app list"}},
		{"names for programs", "", request("help", "commands"), 200, []string{`"app","app access","app branch"`}},
		{"a stranger is turned away", "", request("app", "list"), 401, []string{`"code":401`, "Authentication required."}},
		{"and learns nothing of commands", "", request("no-such"), 401, []string{`"code":401`}},
		{"a bad token is no token", "eyJx.eyJx.x", request("app", "list"), 401, []string{`"code":401`}},
		{"unknown command", w.user, request("frobnicate"), 404, []string{`"code":-32601`, "Command 'frobnicate' not found"}},
		{"did you mean", w.user, request("app", "lst"), 404, []string{`"code":-32601`, `"app list"`}},
		{"no apps", w.user, request("apps"), 200, []string{"There are no applications deployed."}},
		{"app not found", w.user, request("app", "status", "--app", "nosuch"), 200, []string{`"code":404`, "nosuch"}},
		{"left-over arguments", w.user, request("app", "status", "--app", "x", "--frob"), 200, []string{`"code":-32602`, "Unrecognized argument(s): '--frob'."}},
		{"an app as argument", w.user, request("app", "status", "blog"), 200, []string{`"code":-32602`, "use --app blog"}},
		{"ps scale with the app in between", w.user, request("ps", "--app", "nosuch", "scale", "web=2"), 200, []string{`"code":404`}},
		{"admin only", w.user, request("user", "list"), 200, []string{`"code":403`, "Admin privileges required"}},
		{"an administrator may", w.admin, request("user", "list"), 200, []string{"Total users: 2"}},
		{"who am I", w.user, request("auth", "whoami"), 200, []string{`"text":"Authenticated User Information"`, "Username: alice"}},
		{"not JSON", w.user, `{"jsonrpc"`, 400, []string{`"code":-32700`}},
		{"not a call", w.user, `{"method":"ls"}`, 400, []string{`"code":-32600`}},
		{"empty command line is help", "", request(), 200, []string{"USAGE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := w.post(tt.token, tt.body)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			for _, part := range tt.want {
				if !strings.Contains(answer, part) {
					t.Errorf("%q is not in %s", part, answer)
				}
			}
		})
	}
}

func TestBothFormsOfThePathAnswer(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/rpc", "/rpc/"} {
		resp, err := http.Post(w.server.URL+path, "application/json", strings.NewReader(request("version")))
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %s", path, resp.Status, resp.Header.Get("Content-Type"))
		}
	}
}

func TestLoginAndLogout(t *testing.T) {
	w := newWorld(t)
	_, answer := w.post("", request("auth", "get-token", "alice", password))
	var got struct{ Result []api.Item }
	must(t, json.Unmarshal([]byte(answer), &got))
	if len(got.Result) != 1 || !strings.HasPrefix(got.Result[0].Text, "eyJ") {
		t.Fatalf("no token in %s", answer)
	}
	token := got.Result[0].Text
	if status, answer := w.post(token, request("auth", "logout")); status != 200 {
		t.Fatalf("logout: %d %s", status, answer)
	}
	if status, _ := w.post(token, request("auth", "whoami")); status != 401 {
		t.Errorf("the token still works after logout: %d", status)
	}
}

func TestWrongPasswordsAreCountedAndAlike(t *testing.T) {
	w := newWorld(t)
	var answers []string
	for _, name := range []string{"alice", "nobody", "alice", "alice", "alice"} {
		_, answer := w.post("", request("auth", "get-token", name, "wrong password"))
		answers = append(answers, answer)
	}
	for _, a := range answers {
		if a != answers[0] || !strings.Contains(a, `"t":"error"`) {
			t.Errorf("%s differs from %s", a, answers[0])
		}
	}
	if _, answer := w.post("", request("auth", "get-token", "alice", password)); !strings.Contains(answer, "Too many") {
		t.Errorf("the sixth try was not refused: %s", answer)
	}
}

func TestADisabledUserIsOutAtOnce(t *testing.T) {
	w := newWorld(t)
	if status, _ := w.post(w.admin, request("user", "disable", "alice")); status != 200 {
		t.Fatal(status)
	}
	if status, _ := w.post(w.user, request("auth", "whoami")); status != 401 {
		t.Errorf("status %d, want 401", status)
	}
}

func TestATooLargeRequest(t *testing.T) {
	w := newWorld(t)
	body := `{"method":"cli","params":{"cli_args":["deploy"],"extra_args":{"x":"` + strings.Repeat("a", 5<<20) + `"}}}`
	if status, answer := w.post(w.user, body); status != 413 || !strings.Contains(answer, `"code":413`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := w.post("", body); status != 401 {
		t.Errorf("a stranger gets %d, want 401", status)
	}
}
