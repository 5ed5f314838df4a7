package manifest_test

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// TestSectionsOfOthers reads the sections that this server has no use for, or
// not yet: all of their keys are known, and checked.
func TestSectionsOfOthers(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": `
[metadata]
id = "blog"
version = "1.2"
title = "Blog"
description = "A blog"
author = "Ada"
license = "MIT"
name = "blog"
homepage = "https://example.org"
categories = ["web"]
tags = ["cms"]
[docker]
port = 8080
runtime = "docker"
build-args = { A = 1, B = "x", C = true }
[admin]
username = "root"
email = "operator"
password = { generate = "password", length = 20 }
create = "./create"
login = "email"
[probe]
username = "hop3probe"
create = "./probe"
[backup]
paths = ["a"]
exclude = ["b"]
[waf]
enabled = false
mode = "detect"
ruleset = "owasp-crs"
paranoia = 2
allow = ["^/x"]
[[waf.gate]]
paths = ["/admin"]
require = "office"
[[waf.tuning]]
paths = ["/"]
disable-rule-ids = [942100]
reason = "why not"
[waf.bans]
enabled = true
threshold = 5
window = "10m"
duration = "1h"
[contexts.staging]
server = "https://hop3.example.org"
app = "blog-staging"
domains = { list = ["staging.example.org"] }
env = { DEBUG = true, N = 3 }
[nix]
template = "php-app"
anything = ["goes"]
[test]
priority = "P1"
tier = "very-slow"
targets = ["docker", "remote"]
author = "Ada"
covers = ["python"]
expects-failure = true
[[test.validations]]
type = "http"
path = "/"
status = 200
status_in = [200, 302]
contains = "ok"
`})
	var told []string
	for _, u := range m.Unsupported {
		if u.Reason == "" {
			t.Errorf("[%s] has no effect for no reason", u.Section)
		}
		told = append(told, u.Section)
	}
	if got := strings.Join(told, " "); got != "" {
		t.Errorf("told of %s", got)
	}
}

func TestSectionsOfOthers_MistakesHaveTheirLines(t *testing.T) {
	for text, want := range map[string]string{
		"[metadata]\ntitel = \"x\"":                                  "metadata -> titel (line 2): Unknown field 'titel'; did you mean 'title'?",
		"[metadata]\ntags = \"x\"":                                   "(line 2): expected a list of strings, found a string",
		"[deploy]\ndeployer = \"uwgsi\"":                             "(line 2): \"uwgsi\" is not one of auto, uwsgi, native, static, docker-compose; did you mean 'uwsgi'?",
		"[docker]\nport = \"x\"":                                     "docker -> port (line 2): expected an integer",
		"[docker]\nimage = \"-x\"":                                   "docker -> image (line 2): \"-x\" is no image's name",
		"[docker]\nimage = \"a/../b\"":                               "docker -> image (line 2): \"a/../b\" is no image's name",
		"[docker]\nruntime = \"podman\"":                             "docker -> runtime (line 2): \"podman\" does not run images here",
		"[docker]\nbuild-args = { \"A B\" = 1 }":                     "docker -> build-args -> A B (line 2): ",
		"[docker]\nbuild-args = { A = [] }":                          "docker -> build-args -> A (line 2): expected a value, found a list",
		"[admin]\npassword = { generate = \"hex\" }":                 "admin (line 1): 'username' or 'email' is needed",
		"[admin]\nemail = \"x\"":                                     "admin (line 1): 'password' is missing",
		"[admin]\nemail = \"x\"\npassword = \"secret\"":              "admin -> password (line 3): expected a table",
		"[admin]\nemail = \"x\"\npassword = {}\nlogin = \"user\"":    "admin -> password (line 3): 'generate' is missing",
		"[admin]\nemail = \"x\"\nlogin = \"username\"":               "admin -> login (line 3): [admin] has no 'username' to sign in with",
		"[probe]\nusername = \"x\"":                                  "probe (line 1): 'create' is missing",
		"[probe]\ncreate = \" \"":                                    "probe -> create (line 2): is empty",
		"[[addons]]\ntype = \"email\"":                               "addons -> 0 -> type (line 2): 'email' cannot be declared: it needs the password",
		"[[addons]]\nname = \"a.b\"\ntype = \"redis\"":               "addons -> 0 -> name (line 2): \"a.b\" cannot be an addon's name",
		"[[addons]]\ntype = \"redis\"\n[[addons]]\ntype = \"redis\"": "addons -> 1 (line 3): there are two addons of type 'redis' without different names",
		"[[addons]]":                        "addons -> 0 (line 1): 'type' is missing",
		"[[provider]]\ntype = \"postgers\"": "provider -> 0 -> type (line 2): \"postgers\" is not a type of addon; did you mean 'postgres'?",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\ntype = \"persits\"":                             "did you mean 'persist'?",
		"[[volumes]]\nname = \"a b\"\ntarget = \"x\"":                                               "volumes -> 0 -> name (line 2): \"a b\" cannot be a volume's name",
		"[[volumes]]\nname = \"a\"":                                                                 "volumes -> 0 (line 1): 'target' is missing",
		"[[volumes]]\nname = \"a\"\ntarget = \"../x\"":                                              "volumes -> 0 -> target (line 3): \"../x\" cannot be the place of a volume",
		"[[volumes]]\nname = \"a\"\ntarget = \"/x\"":                                                "(line 3): \"/x\" cannot be the place",
		"[[volumes]]\nname = \"a\"\ntarget = \"x/../..\"":                                           "(line 3): \"x/../..\" cannot be the place",
		"[[volumes]]\nname = \"a\"\ntarget = \"./\"":                                                "(line 3): ",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\nsize = \"1M\"":                                  "volumes -> 0 -> size (line 4): only volumes of type tmpfs",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\nmode = \"999\"":                                 "(line 4): \"999\" is not the mode",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\nmode = \"077\"":                                 "(line 4): \"077\" is not the mode",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\nbackup = { includ = 1 }":                        "did you mean 'include'?",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\n[[volumes]]\nname = \"a\"\ntarget = \"y\"":      "volumes -> 1 -> name (line 5): 'a' is the name of a volume already",
		"[[volumes]]\nname = \"a\"\ntarget = \"x\"\n[[volumes]]\nname = \"b\"\ntarget = \"./x/y/\"": "volumes -> 1 -> target (line 6): 'x/y' and the target 'x' of 'a' lie in one another",
		"[waf]\nruleset = \"other\"":                                                                "waf -> ruleset (line 2): \"other\" is not one of owasp-crs",
		"[waf]\nallow = [\"(\"]":                                                                    "waf -> allow (line 2): \"(\" is not a regular expression: missing closing )",
		"[[waf.gate]]\npaths = [\"/(?=a)\"]\nrequire = \"office\"":                                  "waf -> gate -> 0 -> paths (line 2): \"/(?=a)\" is not a regular expression",
		"[[waf.gate]]\npaths = [\"/\"]\nrequire = \"a b\"":                                          "waf -> gate -> 0 -> require (line 3): \"a b\" cannot be the name of a network",
		"[waf.bans]\nduration = \"400d\"":                                                           "waf -> bans -> duration (line 2): \"400d\" is longer than a year",
		"[waf]\nparanoia = 5":                                                                       "(line 2): 5 is not between 1 and 4",
		"[waf]\nallow = []":                                                                         "(line 2): a list of at least one string is needed",
		"[[waf.gate]]\npaths = [\"/\"]\nrequire = \"auth\"":                                         "waf -> gate -> 0 -> require (line 3): \"auth\" is reserved",
		"[[waf.tuning]]\npaths = [\"/\"]":                                                           "waf -> tuning -> 0 (line 1): disables nothing",
		"[[waf.tuning]]\npaths = [\"/\"]\ndisable-rule-ids = [\"x\"]":                               "(line 3): expected a list of the numbers of rules",
		"[waf.bans]\nwindow = \"soon\"":                                                             "waf -> bans -> window (line 2): \"soon\" is not a time",
		"[contexts.a]\napp = \"blog\"":                                                              "contexts -> a (line 1): 'server' is missing",
		"[contexts.\"a b\"]\nserver = \"x\"":                                                        "\"a b\" cannot be a context's name",
		"[contexts.a]\nserver = \"https://u:p@x\"":                                                  "contexts -> a -> server (line 2): this has a secret in it (a URL with a password)",
		"[contexts.a]\nserver = \"https://x?token=1\"":                                              "(line 2): this has a secret in it (?token=)",
		"[contexts.a]\nserver = \"x\"\nenv = { K = \"ghp_1\" }":                                     "contexts -> a -> env -> K (line 3): this looks like a secret",
		"[contexts.a]\nserver = \"x\"\ndomains = { list = [\"a b\"] }":                              "(line 3): \"a b\" is not a valid host name",
		"[test]\npriority = \"P9\"":                                                                 "test -> priority (line 2): \"P9\" is not one of P0, P1, P2",
		"[[test.validations]]\nstatus = 1":                                                          "test -> validations -> 0 -> status (line 2): 1 is not between",
		"[env]\nA = { }":                                                                            "env -> A (line 2): expected { generate = ",
		"[env]\nA = { key = \"domian\" }":                                                           "env -> A -> key (line 2): \"domian\" is not one of domain, hostname, name; did you mean 'domain'?",
		"[env]\nA = { external_ip = true }":                                                         "env -> A (line 2): references ({ external_ip = … }) are not supported yet",
		"[env]\nA = \"postgres://u:p%ss#@host/db\"":                                                 "env -> A (line 2): this looks like a secret (a URL with a password)",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text})
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nwant %s\ngot  %v", text, want, err)
		}
	}
}
