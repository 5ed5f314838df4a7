package manifest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

const herokuApp = `{
  "name": "Blog", "repository": "https://example.org/blog", "keywords": ["cms"], "stack": "heroku-24",
  "buildpacks": [{"url": "heroku/python"}],
  "env": {
    "LANGUAGE": "en",
    "LEVEL": {"description": "how much to log", "value": "info"},
    "DEBUG": false,
    "SECRET_KEY": {"description": "signs cookies", "generator": "secret"},
    "API_URL": {"description": "of the shop", "required": true},
    "OPTIONAL": {"required": false},
    "WORKERS": {"value": "4", "required": true},
    "EMPTY": null
  },
  "scripts": {"postdeploy": "python manage.py loaddata", "predestroy": "x"},
  "formation": {"web": {"quantity": 2, "size": "standard-1x"}, "worker": {"quantity": 0}, "gone": {"quantity": 9}},
  "healthchecks": {"web": [
    {"type": "liveness", "path": "/live"},
    {"type": "readiness", "path": "/ready"},
    {"type": "startup", "name": "web", "path": "/health", "timeout": 4, "attempts": 5, "content": "ok", "wait": 3}
  ]},
  "cron": [{"command": "python nightly.py", "schedule": "0 3 * * *"}],
  "environments": {"test": {"scripts": {"test": "x"}}}
}`

func TestAppJSON(t *testing.T) {
	m := mustLoad(t, map[string]string{"app.json": herokuApp, "Procfile": "web: serve\nworker: work\n"})
	want := []hop3.Process{{Type: "web", Command: "serve", Count: 2}, {Type: "worker", Command: "work"}}
	if !reflect.DeepEqual(m.Processes, want) {
		t.Errorf("Processes = %+v", m.Processes)
	}
	env := hop3.EnvSection{
		Defaults:  hop3.Env{"LANGUAGE": "en", "LEVEL": "info", "DEBUG": "false", "WORKERS": "4"},
		Required:  map[string]string{"API_URL": "of the shop"},
		Generated: map[string]hop3.Generate{"SECRET_KEY": {Kind: "hex"}},
	}
	if !reflect.DeepEqual(m.Env, env) {
		t.Errorf("Env = %+v", m.Env)
	}
	if want := (hop3.HealthCheck{Path: "/health", Contains: "ok", Timeout: 4 * time.Second, Retries: 5}); m.Health != want {
		t.Errorf("Health = %+v", m.Health)
	}
	if want := []hop3.CronEntry{{Name: "cron.1", Schedule: "0 3 * * *", Command: "python nightly.py"}}; !reflect.DeepEqual(m.Cron, want) {
		t.Errorf("Cron = %+v", m.Cron)
	}
	if !reflect.DeepEqual(m.PostDeploy, []string{"python manage.py loaddata"}) {
		t.Errorf("PostDeploy = %q", m.PostDeploy)
	}
}

// What the Procfile says wins, and what hop3.toml says over both.
func TestAppJSON_ComesLast(t *testing.T) {
	m := mustLoad(t, map[string]string{
		"app.json": herokuApp,
		"Procfile": "web: serve\nworker: work\ncron: @daily tidy\n",
		"hop3.toml": `
[env]
LANGUAGE = "fr"
SECRET_KEY = { generate = "uuid" }
[env.computed]
API_URL = "https://$APP"
[scaling]
web = 3
[healthcheck]
path = "/up"
timeout = 1
`})
	if m.Processes[0].Count != 3 || m.Processes[1].Count != 0 {
		t.Errorf("Processes = %+v", m.Processes)
	}
	if m.Env.Static["LANGUAGE"] != "fr" || m.Env.Defaults["LANGUAGE"] != "" || m.Env.Generated["SECRET_KEY"].Kind != "uuid" || len(m.Env.Required) != 0 {
		t.Errorf("Env = %+v", m.Env)
	}
	if want := (hop3.HealthCheck{Path: "/up", Timeout: time.Second, Retries: 5}); m.Health != want {
		t.Errorf("Health = %+v", m.Health)
	}
	if len(m.Cron) != 1 || m.Cron[0].Command != "tidy" || !strings.Contains(strings.Join(m.Warnings, "\n"), "cron entries of app.json are not used") {
		t.Errorf("Cron = %+v, %q", m.Cron, m.Warnings)
	}
}

func TestAppJSON_MistakesAreNamedTogetherWithTheirLines(t *testing.T) {
	_, err := load(t, map[string]string{"app.json": `{
  "env": {
    "1BAD": "x",
    "A": {"generator": "secrt"},
    "B": {"required": "yes"},
    "C": ["x"],
    "D": "ghp_0123",
    "E": {"value": "1", "generator": "secret"}, "E": "2"
  },
  "scripts": {"postdeploy": ["x"]},
  "formation": {"web": {"quantity": "2"}, "a b": {}},
  "healthchecks": {"web": [{"path": "health", "type": "startpu", "attempts": 0}]},
  "cron": [{"command": "x", "schedule": "61 * * * *"}, {"schedule": "@daily"}],
  "addons": ["papertrail:mini",
    {"plan": "email"}, 3]
}`})
	for _, want := range []string{
		"Invalid app.json configuration:",
		"env -> 1BAD (line 3): \"1BAD\" cannot be a variable's name",
		"env -> A -> generator (line 4): \"secrt\" is not one of secret; did you mean 'secret'?",
		"env -> B -> required (line 5): expected true or false, found a string",
		"env -> C (line 6): expected a value, found a list",
		"env -> D (line 7): this looks like a secret (it begins with ghp_)",
		"env -> E (line 8): is there twice",
		"scripts -> postdeploy (line 10): expected a string, found a list",
		"formation -> web -> quantity (line 11): expected an integer, found a string",
		"formation -> a b (line 11): cannot be a process type",
		"healthchecks -> web -> 0 -> path (line 12): \"health\" is not a path",
		"healthchecks -> web -> 0 -> type (line 12): \"startpu\" is not one of startup, readiness, liveness; did you mean 'startup'?",
		"healthchecks -> web -> 0 -> attempts (line 12): 0 is not between",
		"cron -> 0 -> schedule (line 13): Invalid cron pattern: \"61\" is not a minute",
		"cron -> 1 (line 13): 'command' is missing",
		"addons -> 0 (line 14): 'papertrail:mini': Hop3 has no such addon. It has postgres, mysql",
		"addons -> 1 (line 15): 'email' cannot be declared: it needs the password",
		"addons -> 2 (line 15): expected the name of an addon, found an integer",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestAppJSON_ThatIsNoJSON(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "(line 1): the file ends in the middle",
		"{\n \"env\": {\n":                       "(line 2): the file ends in the middle",
		"{\n \"env\": {},\n}":                    "(line 3): ",
		"{\n \"env\" {}\n}":                      "(line 2): ",
		"{\n\"a\":\n1,\n\n":                      "(line 3): the file ends in the middle",
		"[1]":                                    "(line 1): expected an object",
		"{}\n{}":                                 "(line 2): there is something behind the end",
		"{} x":                                   "(line 1): ",
		"{\"a\": \"\xff\"}":                      "not UTF-8",
		"{\"a\":" + strings.Repeat("[", 100_000): "nested more than 64 deep",
		"{\"env\": 3}":                           "env (line 1): expected a table, found an integer",
		"{\"a\": 1, \"a\": 2}":                   "a (line 1): is there twice",
	} {
		_, err := load(t, map[string]string{"hop3/app.json": text})
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Invalid hop3/app.json") {
			t.Errorf("%.40q: want %s, got %v", text, want, err)
		}
	}
}

// app.json is a name that others use too: theirs is none of ours.
func TestAppJSON_OfSomethingElse(t *testing.T) {
	m := mustLoad(t, map[string]string{"app.json": `{"expo": {"name": "phone", "scheme": "x"}, "pages": ["a"]}`})
	if len(m.Processes) != 0 || len(m.Env.Defaults) != 0 {
		t.Errorf("got %+v", m)
	}
}
