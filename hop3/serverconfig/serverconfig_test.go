package serverconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// world is a machine with nothing on it but an environment.
func world(uid int, env map[string]string) Options {
	return Options{
		NoFiles:   true,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		EUID:      func() int { return uid },
	}
}

func load(t *testing.T, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDefaultsDependOnTheUser(t *testing.T) {
	root := load(t, world(0, nil))
	if root.Home != "/home/hop3" || root.HTTPPort != 80 || root.HTTPSPort != 443 || root.SSHPort != 2222 {
		t.Errorf("root gets %+v", root)
	}
	ada := load(t, world(1000, map[string]string{"HOME": "/home/ada"}))
	if ada.Home != "/home/ada/.local/share/hop3" || ada.HTTPPort != 8080 || ada.HTTPSPort != 8443 {
		t.Errorf("another user gets %+v", ada)
	}
	xdg := load(t, world(1000, map[string]string{"HOME": "/home/ada", "XDG_DATA_HOME": "/data/ada"}))
	if xdg.Home != "/data/ada/hop3" {
		t.Errorf("with XDG_DATA_HOME the home is %s", xdg.Home)
	}
	if root.Host != "127.0.0.1" || root.Port != 8000 || root.BaseDomain != "localhost" || root.Proxy != "caddy" ||
		root.StartTimeout != time.Minute || root.StopGrace != 10*time.Second || root.TokenExpiry != 24*time.Hour ||
		root.MaxPushSize != 1<<30 || root.PortRange != (PortRange{20000, 29999}) || len(root.Inert) != 0 {
		t.Errorf("defaults are %+v", root)
	}
}

func TestFlagEnvironmentFileDefault(t *testing.T) {
	o := world(0, map[string]string{"HTTP_PORT": "81", "HOP3_HTTPS_PORT": "444", "STOP_GRACE": "", "PORT": "9", "HOME": "/x"})
	o.NoFiles = false
	o.File = write(t, "http_port = 82\nHTTPS_PORT = 445\nssh-port = \"off\"\nstop_grace = \"3s\"\nport = 8_001\nmode = true\n")
	o.Flags = map[string]string{"http-port": "83", "host": ""}
	_, err := Load(o)
	if err == nil || !strings.Contains(err.Error(), o.File+":3: there is no setting \"ssh-port\"\nDid you mean SSH_PORT?") {
		t.Errorf("got %v", err)
	}
	o.File = write(t, "http_port = 82\nHTTPS_PORT = 445\nssh_port = \"off\"\n\n[hop3]\nstop_grace = \"3s\"\nport = 8_001\nmode = true\n")
	c := load(t, o)
	if c.HTTPPort != 83 || c.HTTPSPort != 444 || c.SSHPort != 0 || c.StopGrace != 3*time.Second || c.Port != 8001 || c.Home != "/home/hop3" {
		t.Errorf("got %+v", c)
	}
	if !slices.Equal(c.Inert, []string{"MODE"}) {
		t.Errorf("inert: %v", c.Inert)
	}
	sources := map[string]string{}
	for _, row := range c.Explain() {
		sources[row.Key] = row.Value + " from " + row.Source
	}
	for key, want := range map[string]string{
		"HTTP_PORT": "83 from flag --http-port", "HTTPS_PORT": "444 from environment HOP3_HTTPS_PORT",
		"STOP_GRACE": "3s from " + o.File + ":6", "HOP3_HOST": "127.0.0.1 from default",
	} {
		if sources[key] != want {
			t.Errorf("%s: %s, want %s", key, sources[key], want)
		}
	}
}

func TestHomeHasAFile(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, homeFile)
	o := world(0, map[string]string{"HOP3_ROOT": home})
	o.NoFiles = false
	if err := os.WriteFile(file, []byte("BASE_DOMAIN = \"Example.ORG\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := load(t, o); c.BaseDomain != "example.org" || c.Home != home {
		t.Errorf("got %+v", c)
	}
	o.LookupEnv = func(name string) (string, bool) { return home, name == "HOP3_HOME" }
	if c := load(t, o); c.Home != home {
		t.Errorf("got %+v", c)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"http_prot = 80":                       `:1: there is no setting "http_prot"` + "\nDid you mean HTTP_PORT or HTTPS_PORT?",
		"\n\ncolour = 'red'":                   `:3: there is no setting "colour"` + "\nThe settings are ACCESS_LOG, ACME_DNS_CONFIG, ",
		"http_port = 80\nHTTP_PORT = 81":       `:2: HTTP_PORT was set before, in `,
		"http_port = 80\nhttp_port = 81":       `:2: toml: `,
		"[server]\nport = 1":                   `:1: there is no section [server]`,
		"http_port = [80]":                     `:1: http_port must be a string, a number, true or false`,
		"http_port = 80000":                    `HTTP_PORT cannot be "80000" (`,
		"http_port = ":                         `:1: toml: `,
		"base_domain = 'a b'":                  `BASE_DOMAIN cannot be "a b" (`,
		"secret_key = 'hunter2'":               `:1): it has 7 bytes; a secret has at least 32`,
		"https_port = 8000":                    `HOP3_PORT and HTTPS_PORT are both 8000`,
		"ssh_port = 20022":                     `SSH_PORT is 20022, which is in the PORT_RANGE of the apps`,
		"app_start_timeout = -1":               `APP_START_TIMEOUT cannot be "-1" (`,
		"max_push_size = '9999999999T'":        `MAX_PUSH_SIZE cannot be`,
		"port_range = '29999-20000'":           `PORT_RANGE cannot be`,
		"port_range = '19000-29999'":           `15000 to 19999 are the ports of addons`,
		"home = 'relative'":                    `HOP3_HOME cannot be "relative" (`,
		"acme_server = 'http://ca.test'":       `ACME_SERVER cannot be`,
		"acme_email.address = 'a@example.org'": `:1: there is no setting "acme_email.address"`,
	} {
		o := world(0, nil)
		o.NoFiles, o.File = false, write(t, text)
		_, err := Load(o)
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), o.File) &&
			!strings.Contains(want, "both") && !strings.Contains(want, "RANGE of") {
			t.Errorf("%q: got %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	o := world(0, map[string]string{"HOP3_HOME": "/a", "HOP3_ROOT": "/b"})
	if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "environment HOP3_HOME and environment HOP3_ROOT are both set, and differ") {
		t.Errorf("got %v", err)
	}
	o = world(0, nil)
	o.NoFiles, o.File = false, "/no/such/file.toml"
	if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "/no/such/file.toml: no such file") {
		t.Errorf("got %v", err)
	}
}

func TestExplainKeepsSecrets(t *testing.T) {
	c := load(t, world(0, map[string]string{
		"HOP3_SECRET_KEY":   strings.Repeat("hunter2", 5),
		"HOP3_DATABASE_URL": "postgresql://hop3:hunter2@db.test/hop3?password=hunter2",
	}))
	for _, row := range c.Explain() {
		if strings.Contains(row.Value, "hunter2") || row.Doc == "" {
			t.Errorf("%s: %s (%s)", row.Key, row.Value, row.Doc)
		}
		if row.Key == "HOP3_DATABASE_URL" && row.Value != "postgresql://hop3@db.test/hop3?***" {
			t.Errorf("the database is shown as %s", row.Value)
		}
	}
}

func TestKeysHaveOneMeaning(t *testing.T) {
	seen := map[string]string{}
	for i := range keys {
		for _, name := range keys[i].envNames() {
			name = strings.TrimPrefix(name, prefix)
			if other, twice := seen[name]; twice && other != keys[i].name {
				t.Errorf("%s means %s and %s", name, other, keys[i].name)
			}
			seen[name] = keys[i].name
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("http_port = 80\n[hop3]\nbind = '::1'\n")
	f.Add("a.b = {c = [1, 2]}\n[[hop3]]\n")
	file := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := world(0, nil)
		o.NoFiles, o.File = false, file
		if _, err := Load(o); err != nil && hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestDirectoriesOfTheHost(t *testing.T) {
	want := []hop3.BindRule{{Path: "/srv/media"}, {Path: "/srv/docs", ReadOnly: true}}
	o := world(0, map[string]string{"VOLUMES_BIND_ALLOW": "/srv/media/, /srv/docs:ro", "VOLUMES_TMPFS_MAX": "off"})
	if c := load(t, o); !slices.Equal(c.BindAllow, want) || c.TmpfsMax != 0 {
		t.Errorf("got %+v and %d", c.BindAllow, c.TmpfsMax)
	}
	o = world(0, nil)
	o.NoFiles, o.File = false, write(t, "volumes_bind_allow = [\"/srv/media\", \"/srv/docs:ro\"]\n")
	if c := load(t, o); !slices.Equal(c.BindAllow, want) || c.TmpfsMax != 256<<20 {
		t.Errorf("got %+v and %d", c.BindAllow, c.TmpfsMax)
	}
	for _, bad := range []string{"/", "srv", "/srv/../etc", "/proc", "/sys/kernel", "/dev", "/run/hop3", "/etc", "/etc/hop3"} {
		if _, err := Load(world(0, map[string]string{"VOLUMES_BIND_ALLOW": bad})); err == nil {
			t.Errorf("%s is allowed", bad)
		}
	}
	for _, text := range []string{"volumes_bind_allow = [\"/a,/b\"]", "volumes_bind_allow = [1]", "volumes_bind_allow = {}"} {
		o.File = write(t, text)
		if _, err := Load(o); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%s: %v", text, err)
		}
	}
}
