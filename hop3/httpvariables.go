package hop3

import (
	"fmt"
	"slices"
	"strings"
)

// HTTPVariables reads the variables with which apps of Hop3 (Python) told its
// proxies how to treat their requests: NGINX_…, CADDY_… and TRAEFIK_…. What
// they say has the same effect behind every proxy here; of several, those of
// nginx win. Notes name, each once, the variables that have no effect, or a
// value that makes no sense and is not used. The settings are valid.
func HTTPVariables(vars Env) (settings HTTPSettings, notes []string) {
	settings = HTTPSettings{}
	for _, key := range vars.Keys() {
		proxy, knob, ok := strings.Cut(key, "_")
		if !ok || !slices.Contains([]string{"NGINX", "CADDY", "TRAEFIK"}, proxy) {
			continue
		}
		if why := noEffect(proxy, knob); why != "" {
			notes = append(notes, fmt.Sprintf("%s has no effect: %s", key, why))
		}
	}
	if vars["DISABLE_IPV6"] != "" {
		notes = append(notes, "DISABLE_IPV6 has no effect: the server listens for all apps alike")
	}
	for _, proxy := range []string{"TRAEFIK_", "CADDY_", "NGINX_"} {
		notes = append(notes, settings.variables(proxy, vars)...)
	}
	_, wrong := StaticVariables(vars)
	return settings, append(notes, wrong...)
}

// noEffect says why a knob does nothing here; "" when it does something, or
// is none we know.
func noEffect(proxy, knob string) string {
	switch knob {
	case "HTTPS_ONLY", "CACHE_PREFIXES", "CACHE_CONTROL", "DISABLE_COMPRESSION", "STATIC_PATHS":
		return ""
	case "AUTO_HTTPS":
		return "certificates are the server's to get"
	case "INCLUDE_FILE":
		return "an app cannot write the proxy's own configuration; [http] of hop3.toml says what it needs"
	case "ALLOW_GIT_FOLDERS":
		return "files whose names begin with a dot are never served, and what a process answers is its own"
	case "CLOUDFLARE_ACL":
		return "the server's HOP3_TRUSTED_PROXIES says whose word on a client's address counts"
	case "IPV4_ADDRESS", "IPV6_ADDRESS":
		return "the server listens for all apps alike"
	}
	if strings.HasPrefix(knob, "CACHE_") {
		return "answers are not kept by the proxy"
	}
	return fmt.Sprintf("no setting of %s is known by that name", strings.ToLower(proxy))
}

// variables takes over what the variables of one proxy say.
func (s HTTPSettings) variables(proxy string, vars Env) (notes []string) {
	take := func(variable, key, value string) {
		if err := (HTTPSettings{key: value}).Validate(); err != nil {
			notes = append(notes, fmt.Sprintf("%s is not used: %s", variable, MessageOf(err)))
			return
		}
		s[key] = value
	}
	if v, ok := vars[proxy+"HTTPS_ONLY"]; ok {
		only, err := parseSwitch(strings.TrimSpace(v))
		if err != nil {
			notes = append(notes, fmt.Sprintf("%sHTTPS_ONLY is not used: %s", proxy, MessageOf(err)))
		} else {
			take(proxy+"HTTPS_ONLY", "allow-http", fmt.Sprint(!only))
		}
	}
	if v := strings.TrimSpace(vars[proxy+"DISABLE_COMPRESSION"]); v != "" {
		if off, err := parseSwitch(v); err == nil && off {
			s["encode"] = "off"
		}
	}
	seconds, cached := strings.TrimSpace(vars[proxy+"CACHE_CONTROL"]), vars[proxy+"CACHE_PREFIXES"]
	if proxy == "TRAEFIK_" && seconds != "" {
		cached = "/"
	}
	if seconds == "" {
		seconds = "3600"
	}
	if strings.Trim(seconds, "0123456789") != "" || len(seconds) > 10 {
		return append(notes, fmt.Sprintf("%sCACHE_CONTROL is not used: %q is not a number of seconds", proxy, shorten(seconds, 80)))
	}
	for _, prefix := range words(cached) {
		take(proxy+"CACHE_PREFIXES", "cache-control."+prefix, "public, max-age="+seconds)
	}
	return notes
}
