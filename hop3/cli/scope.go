package cli

import "strings"

// scoped are the commands that act on one app: --app goes behind their words,
// and is found out when it is not given. A test compares them with the
// server's table.
var scoped = set(
	"deploy", "deploy cancel", "redeploy", "app redeploy", "logs", "run", "shell", "restart", "status", "destroy", "ps", "ps scale", "releases", "releases show", "releases switch", "releases diff", "plan", "app plan", "app debug", "app sbom", "app upgrade", "app tunnel", "scale", "diff", "app diff", "rollback",
	"app status", "app logs", "app build-logs", "app run", "app shell", "app start", "app stop", "app restart", "app destroy", "app move", "app receive", "app ping", "app releases", "app rollback", "app check", "app credentials",
	"env show", "env live", "config live", "env get", "env set", "env unset", "config show", "config get", "config set", "config unset",
	"cron list", "cron run", "cron logs",
	"app branch", "domain list", "domain add", "domain remove", "domain set", "domain clear",
	"canary status", "canary promote", "canary abort", "http show", "http set", "http unset", "http basic-auth add", "http basic-auth remove", "maintenance on", "maintenance off",
	"domains list", "domains add", "domains remove", "domains set", "domains clear", "git setup", "cert add", "cert remove",
	"app source", "app fetch",
	"app access", "app grant", "app revoke", "app transfer",
	"addon attach", "addon detach", "addon promote",
	"preview list", "preview remove", "preview extend", "preview on", "preview off",
	"backup create",
	"webhook create", "webhook show", "webhook rotate", "webhook remove", "webhook log",
)

// optional are the commands to which only an --app that was given belongs.
var optional = set("top", "app top", "app create", "app launch", "cert list", "cert status", "cert renew", "why", "events", "addon list", "addons", "backup list")

// forceOwn are the commands with a --force of their own, which says more than
// not to ask.
var forceOwn = set("cert renew")

// followed are the commands whose progress is followed while they work.
var followed = set("redeploy", "app redeploy", "app create", "app launch", "app fetch", "app upgrade")

// watched are the commands of which what they do is shown while they work.
var watched = set("backup create", "backup platform", "backup all", "backup restore", "backup verify", "app move")

// dangerous are the commands that ask before they act. Those of typed want the
// name of what goes.
var (
	dangerous = set(
		"app destroy", "destroy", "backup destroy", "addon destroy", "user remove", "addon redis flush",
		"addon postgres restore", "addon postgres import", "addon mysql restore", "addon mysql import",
		"addon redis restore", "addon redis import", "addon s3 restore", "addon s3 import",
	)
	typed = set("app destroy", "destroy", "addon destroy")
)

// backupOfAll is the other spelling of a command that takes no app.
func backupOfAll(words []string) []string {
	if _, n := match(set("backup create"), words); n > 0 {
		if all, rest := toggle(words[n:], "--all"); all {
			return append([]string{"backup", "platform"}, rest...)
		}
	}
	return words
}

// maxWords is how many words a command's name has at most.
const maxWords = 4

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// match returns the longest name among names that words begin with, and how
// many words it has; 0 for none.
func match(names map[string]bool, words []string) (string, int) {
	for n := min(maxWords, len(words)); n > 0; n-- {
		if name := strings.Join(words[:n], " "); names[name] {
			return name, n
		}
	}
	return "", 0
}
