package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// completeWord is the command that a shell calls for what may come next. It is
// none for people, and takes its arguments as they are.
const completeWord = "__complete"

// How long what a server said is good for a completion, and how long a shell
// waits for it at most.
const (
	commandsFresh   = 24 * time.Hour
	appsFresh       = 10 * time.Second
	completeTimeout = 1500 * time.Millisecond
)

// The files of the cache, those of Hop3 (Python)'s client.
const (
	commandsCache = "commands.json"
	appsCache     = "apps.txt"
)

var completionScripts = map[string]string{
	"bash": `# Completion of hop3 for bash: eval "$(hop3 completion bash)"
_hop3() {
    local IFS=$'\n'
    COMPREPLY=($(hop3 __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o nosort -F _hop3 hop3
`,
	"zsh": `#compdef hop3
# Completion of hop3 for zsh: eval "$(hop3 completion zsh)"
_hop3() {
    local -a found
    found=("${(@f)$(hop3 __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found
}
compdef _hop3 hop3
`,
	"fish": `# Completion of hop3 for fish: hop3 completion fish | source
complete -c hop3 -f -a '(set -l words (commandline -opc); hop3 __complete $words[2..-1] (commandline -ct) 2>/dev/null)'
`,
}

// completion prints a shell's script, or looks after what completions know.
func completion(ctx context.Context, p *program, args []string) error {
	if len(args) != 1 {
		return exitf(api.ExitUsage, "Usage: hop3 completion bash|zsh|fish | --refresh | --status")
	}
	switch args[0] {
	case "--refresh":
		commands, apps := p.knownCommands(ctx, 0), p.knownApps(ctx, 0)
		if commands == nil {
			return exitf(api.ExitNetwork, "The server did not say which commands there are. Try: hop3 help")
		}
		p.printer.item(api.Text("%d commands and %d apps are known.", len(commands), len(apps)), nil)
		return nil
	case "--status":
		for _, name := range []string{commandsCache, appsCache} {
			info, err := os.Stat(p.cacheFile(name))
			if err != nil {
				p.printer.item(api.Text("%s: nothing is known yet", name), nil)
				continue
			}
			p.printer.item(api.Text("%s: of %s, in %s", name, info.ModTime().Format(time.DateTime), p.cacheFile(name)), nil)
		}
		return nil
	}
	script, ok := completionScripts[args[0]]
	if !ok {
		return exitf(api.ExitUsage, "There is no completion for %q, only for bash, zsh and fish.", args[0])
	}
	_, err := fmt.Fprint(p.Out, script)
	return err
}

// complete prints what the last of words may become, a line each.
func (p *program) complete(ctx context.Context, words []string) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	if len(words) == 0 {
		words = []string{""}
	}
	for _, c := range p.candidates(ctx, words[:len(words)-1], words[len(words)-1]) {
		fmt.Fprintln(p.Out, c)
	}
}

func (p *program) candidates(ctx context.Context, before []string, current string) []string {
	last := ""
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	var all []string
	switch {
	case last == "--app" || last == "-a":
		all = p.knownApps(ctx, appsFresh)
	case last == "--context" || last == "-c":
		contexts, _ := p.settings.config["contexts"].(map[string]any)
		all = slices.Collect(maps.Keys(contexts))
	case strings.HasPrefix(current, "-"):
		for _, m := range [][]string{slices.Collect(maps.Keys(switches)), slices.Collect(maps.Keys(values))} {
			for _, name := range m {
				if strings.HasPrefix(name, "--") {
					all = append(all, name)
				}
			}
		}
	case last == "use":
		all = p.knownApps(ctx, appsFresh)
	default:
		all = p.nextWords(ctx, before)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, current) })
	slices.Sort(all)
	return slices.Compact(all)
}

// nextWords are the words that follow in commands that begin with words.
func (p *program) nextWords(ctx context.Context, words []string) []string {
	var plain []string // without flags and their values
	for i := 0; i < len(words); i++ {
		if !strings.HasPrefix(words[i], "-") {
			plain = append(plain, words[i])
		} else if values[words[i]] != nil {
			i++
		}
	}
	names := slices.Clone(p.knownCommands(ctx, commandsFresh))
	for _, l := range locals() {
		names = append(names, l.name)
	}
	names = slices.AppendSeq(names, maps.Keys(aliases))
	var next []string
	for _, name := range names {
		parts := strings.Fields(name)
		if len(parts) > len(plain) && slices.Equal(parts[:len(plain)], plain) {
			next = append(next, parts[len(plain)])
		}
	}
	return next
}

func (p *program) cacheFile(name string) string {
	base := p.getenv("XDG_CACHE_HOME")
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(base, "hop3", name)
}

// cached returns what a file of the cache has if it is young enough, else what
// ask says, which it keeps; when that is nothing, what the file has.
func (p *program) cached(name string, fresh time.Duration, ask func() []string) []string {
	file := p.cacheFile(name)
	text, err := os.ReadFile(file)
	old := strings.Fields(string(text))
	if strings.HasSuffix(name, ".json") {
		old = nil
		_ = json.Unmarshal(text, &old) // what is damaged is asked for again
	}
	if info, statErr := os.Stat(file); err == nil && statErr == nil && time.Since(info.ModTime()) < fresh {
		return old
	}
	said := ask()
	if said == nil {
		return old
	}
	text = []byte(strings.Join(said, "\n") + "\n")
	if strings.HasSuffix(name, ".json") {
		if text, err = json.Marshal(said); err != nil {
			return said
		}
	}
	if os.MkdirAll(filepath.Dir(file), 0o700) == nil {
		_ = os.WriteFile(file, text, 0o600) // the next one asks again
	}
	return said
}

// knownCommands are the names of the server's commands, nil when nobody knows.
func (p *program) knownCommands(ctx context.Context, fresh time.Duration) []string {
	return p.cached(commandsCache, fresh, func() []string {
		c, err := p.connect()
		if err != nil {
			return nil
		}
		res, err := c.Call(ctx, []string{"help", "commands"}, api.Extra{}, nil)
		if err != nil {
			return nil
		}
		var names []string
		for _, item := range res.Items {
			object, _ := item.Data.(map[string]any)
			list, _ := object["commands"].([]any)
			for _, v := range list {
				if s, ok := v.(string); ok {
					names = append(names, s)
				}
			}
		}
		return names
	})
}

// knownApps are the names of the apps.
func (p *program) knownApps(ctx context.Context, fresh time.Duration) []string {
	return p.cached(appsCache, fresh, func() []string {
		c, err := p.connect()
		if err != nil {
			return nil
		}
		res, err := c.Call(ctx, []string{"app", "list"}, api.Extra{}, nil)
		if err != nil {
			return nil
		}
		names := []string{}
		for _, item := range res.Items {
			for _, row := range item.Rows {
				if len(row) > 0 {
					names = append(names, fmt.Sprint(row[0]))
				}
			}
		}
		return names
	})
}
