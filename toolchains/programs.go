package toolchains

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/abilian/hop3/hop3"
)

// programs remembers what the programs of this machine say of themselves, so
// that a build with nothing to install starts none. The zero value is ready.
type programs struct {
	mu    sync.Mutex
	known map[string]string
}

// ask returns what the program at path prints, from memory while the file is
// the same.
func (p *programs) ask(ctx context.Context, b *hop3.Build, env hop3.Env, path string, args ...string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("looking at %s: %w", path, err)
	}
	key := fmt.Sprint(path, info.ModTime().UnixNano(), info.Size(), args)
	p.mu.Lock()
	answer, ok := p.known[key]
	p.mu.Unlock()
	if ok {
		return answer, nil
	}
	// Version managers look at files in the working directory: keep the app's
	// out of sight.
	answer, err = b.Runner.Output(ctx, hop3.Command{Dir: "/", Env: env, Args: append([]string{path}, args...)})
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]string{}
	}
	p.known[key] = answer
	return answer, nil
}

// find returns the path of an installed program, "" when there is none. The
// app's own PATH comes first, as it does for its commands.
func find(b *hop3.Build, name string) string {
	path := b.Env["PATH"]
	if path == "" {
		path = os.Getenv("PATH")
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// serverAmong returns the program to start among those an app has: the only
// one, or the one with the name of a web server; "" when nothing tells.
func serverAmong(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	for _, name := range []string{"web", "server", "app", "api"} {
		if slices.Contains(names, name) {
			return name
		}
	}
	return ""
}
