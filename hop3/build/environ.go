package build

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// passed are the server's own variables that builds get: how to reach the
// network and the package registries. Everything else, the server's secrets
// first, stays with the server.
var passed = []string{
	"LANG", "LC_ALL", "TZ",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
	"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOVCS",
	"PYENV_ROOT", "RUSTUP_HOME", "JAVA_HOME",
}

var passedPrefixes = []string{"PIP_", "NPM_CONFIG_", "npm_config_", "UV_", "POETRY_", "YARN_", "CARGO_", "BUNDLE_", "COMPOSER_"}

// childEnv is the environment of a build's commands, before what each command
// adds.
func childEnv(home string, app hop3.Env) hop3.Env {
	env := hop3.Env{"PATH": defaultPath, "LANG": "C.UTF-8"}
	if path := os.Getenv("PATH"); path != "" {
		env["PATH"] = path
	}
	for _, entry := range os.Environ() {
		key, value, _ := strings.Cut(entry, "=")
		if passes(key) {
			env[key] = value
		}
	}
	env["HOME"] = home
	env["TERM"] = "dumb"
	return env.Merge(app)
}

func passes(key string) bool {
	return slices.Contains(passed, key) ||
		slices.ContainsFunc(passedPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// prepend returns env with directories before its PATH.
func prepend(env hop3.Env, dirs []string) hop3.Env {
	if len(dirs) == 0 {
		return env
	}
	return env.Merge(hop3.Env{"PATH": strings.Join(append(slices.Clone(dirs), env["PATH"]), ":")})
}

// lookPath finds a program in the PATH of a child instead of our own. A name
// that is not found is returned as it is, and starting it says so.
func lookPath(name, path string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return name
}
