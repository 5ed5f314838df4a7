package manifest_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cron"
	"github.com/abilian/hop3/hop3/manifest"
)

// invalid says what a manifest holds that the words of the ground floor refuse:
// whoever gets a manifest does not check it again.
func invalid(m *manifest.Manifest) error {
	seen := map[string]bool{}
	web := 0
	for _, p := range m.Processes {
		if err := hop3.ValidateProcessType(p.Type); err != nil {
			return err
		}
		switch {
		case seen[p.Type]:
			return fmt.Errorf("%s is there twice", p.Type)
		case strings.TrimSpace(p.Command) == "", strings.ContainsRune(p.Command, 0):
			return fmt.Errorf("%s has the command %q", p.Type, p.Command)
		case p.Count < 0 || p.Count > hop3.MaxInstances:
			return fmt.Errorf("%s runs %d times", p.Type, p.Count)
		case p.Type == hop3.ProcessCron:
			return fmt.Errorf("cron is a process")
		case hop3.ServesHTTP(p.Type):
			web++
		}
		seen[p.Type] = true
	}
	if seen[hop3.ProcessWeb] && web > 1 {
		return fmt.Errorf("%d processes serve HTTP", web)
	}
	for key, value := range m.Env.Static.Merge(m.Env.Defaults, m.Env.Computed) {
		if err := hop3.ValidateEnvKey(key); err != nil {
			return err
		}
		if err := hop3.ValidateEnvValue(key, value); err != nil {
			return err
		}
	}
	for key := range m.Env.Generated {
		if err := hop3.ValidateEnvKey(key); err != nil {
			return err
		}
	}
	for key := range m.Env.Required {
		if err := hop3.ValidateEnvKey(key); err != nil {
			return err
		}
	}
	for _, host := range m.Domains {
		if err := hop3.ValidateHost(host); err != nil && host != "_" {
			return err
		}
	}
	for i, v := range m.Volumes {
		if err := hop3.ValidateVolumeName(v.Name); err != nil {
			return err
		}
		if err := hop3.ValidateVolumeTarget(v.Target); err != nil {
			return err
		}
		for _, other := range m.Volumes[:i] {
			if v.Name == other.Name || v.Covers(other) || other.Covers(v) {
				return fmt.Errorf("%+v and %+v", v, other)
			}
		}
	}
	for _, e := range m.Cron {
		if _, err := cron.Parse(e.Schedule); err != nil {
			return err
		}
		if err := hop3.ValidateProcessType(strings.Replace(e.Name, ".", "-", 1)); err != nil {
			return err
		}
		if strings.TrimSpace(e.Command) == "" || strings.ContainsRune(e.Command, 0) {
			return fmt.Errorf("%s has the command %q", e.Name, e.Command)
		}
	}
	for _, commands := range [][]string{m.BeforeBuild, m.Build.Commands, m.AfterBuild, m.BeforeRun, m.Release, m.PostDeploy} {
		for _, c := range commands {
			if strings.TrimSpace(c) == "" || strings.ContainsRune(c, 0) {
				return fmt.Errorf("%q is a command", c)
			}
		}
	}
	if m.Health.Timeout < 0 || m.Health.Retries < 0 || m.Health.Path != "" && m.Health.Path[0] != '/' {
		return fmt.Errorf("the health check is %+v", m.Health)
	}
	return nil
}

func checkLoad(t *testing.T, files map[string]string) {
	t.Helper()
	m, err := load(t, files)
	switch {
	case err == nil && m == nil, err != nil && hop3.CodeOf(err) != hop3.CodeInvalid:
		t.Errorf("got %v, %v", m, err)
	case err == nil && invalid(m) != nil:
		t.Errorf("it was accepted: %v", invalid(m))
	}
}

func FuzzHop3TOML(f *testing.F) {
	f.Add(full)
	f.Add("a.b = {c = [1, {d = 2}]}\n[[x.y]]\n[x.y.z]\n[[ports]]\n")
	f.Add("[[volumes]]\nname = \"a\"\ntarget = \"x\"\n[[volumes]]\nname = \"b\"\ntarget = \"x/y\"\n")
	f.Add("[contexts.a]\nserver = \"x\"\nenv = { K = 1 }\n[[waf.tuning]]\npaths = [\"/\"]\ndisable-rule-ids = [1]\n[waf.bans]\nwindow = \"1h\"")
	f.Add("[env]\nA = { key = \"name\" }\nB = 1e3\nC = 2026-01-01\n[env.computed]\nD = \"$A\"")
	f.Add("[run.workers]\ncron = [\"@daily x\"]\nweb = \"x\"\n[scaling.web]\nmin = 1\nmax = 2")
	f.Fuzz(func(t *testing.T, text string) { checkLoad(t, map[string]string{"hop3.toml": text}) })
}

func FuzzProcfile(f *testing.F) {
	f.Add("web: gunicorn app:app\nworker : x\nprebuild: a\nrelease: b\n")
	f.Add("# c\r\ncron: * * * * * x\ncron: @daily y\npreflight: z\n")
	f.Fuzz(func(t *testing.T, text string) {
		checkLoad(t, map[string]string{"Procfile": text})
		checkMigration(t, text)
	})
}

// checkMigration sees to it that an app runs the same with the hop3.toml that a
// Procfile was made into.
func checkMigration(t *testing.T, text string) {
	t.Helper()
	old, err := load(t, map[string]string{"Procfile": text})
	if err != nil || !utf8.ValidString(text) {
		return
	}
	toml, err := manifest.MigrateProcfile(text)
	if err != nil {
		if len(old.Processes)+len(old.Cron)+len(old.BeforeBuild)+len(old.AfterBuild)+len(old.BeforeRun)+len(old.Release) > 0 {
			t.Errorf("%q is not migrated: %v", text, err)
		}
		return
	}
	fresh, err := load(t, map[string]string{"hop3.toml": toml})
	if err != nil {
		t.Fatalf("%q became\n%s\nwhich is none: %v", text, toml, err)
	}
	for what, pair := range map[string][2]any{
		"processes":    {byType(old), byType(fresh)},
		"before-build": {old.BeforeBuild, fresh.BeforeBuild},
		"after-build":  {old.AfterBuild, fresh.AfterBuild},
		"before-run":   {append(old.BeforeRun, old.Release...), fresh.BeforeRun},
		"cron":         {old.Cron, fresh.Cron},
	} {
		if fmt.Sprintf("%q", pair[0]) != fmt.Sprintf("%q", pair[1]) {
			t.Errorf("%s were %q, and became %q", what, pair[0], pair[1])
		}
	}
}

func byType(m *manifest.Manifest) map[string]hop3.Process {
	all := map[string]hop3.Process{}
	for _, p := range m.Processes {
		all[p.Type] = p
	}
	return all
}

func FuzzAppJSON(f *testing.F) {
	f.Add(herokuApp)
	f.Add(`{"env": {"A": 1.50, "B": {"value": true}, "C": {"generator": "secret"}}, "formation": {"web": {"quantity": 1e2}}}`)
	f.Add(`{"healthchecks": {"web": [{"path": "/", "timeout": 1e400}]}, "cron": [{"schedule": "@daily", "command": "x"}], "addons": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		checkLoad(t, map[string]string{"app.json": text, "Procfile": "web: x\n"})
	})
}

// All files together: what each accepts also makes sense laid over the others.
func FuzzLoad(f *testing.F) {
	f.Add("web: x", full, herokuApp, "web: 2")
	f.Fuzz(func(t *testing.T, procfile, toml, app, counts string) {
		checkLoad(t, map[string]string{"Procfile": procfile, "hop3.toml": toml, "app.json": app, "SCALING": counts})
	})
}

func TestMigrateProcfile(t *testing.T) {
	for _, text := range []string{
		"web: a \"b\" 'c' \\ $PORT\nwsgi2: x\nprebuild: 1\npostbuild: 2\nprerun: 3\nrelease: 4\ncron: @daily a\ncron: 1 2 * * * 'b'\n",
		"worker: \t\x7f x\x01\n", "wsgi: a:b\n", "release: x\n", "", "# nothing\n",
	} {
		checkMigration(t, text)
	}
	for text, want := range map[string]string{"": "says nothing", "x": "line 1", "web: \xff": "UTF-8"} {
		if _, err := manifest.MigrateProcfile(text); hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if out, _ := manifest.MigrateProcfile("web: x"); !reflect.DeepEqual(out, "[run]\nstart = \"x\"\n") {
		t.Errorf("got %q", out)
	}
}
