package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// settings are the person's files: config.toml without secrets, and
// credentials.toml with the tokens. Keys we do not know are kept.
type settings struct {
	dir         string
	config      map[string]any
	credentials map[string]any
}

const (
	configFile      = "config.toml"
	credentialsFile = "credentials.toml"
	defaultServer   = "http://localhost:8000"
)

func loadSettings(getenv func(string) string) (*settings, error) {
	s := &settings{dir: getenv("HOP3_CONFIG_DIR")}
	if s.dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			base = "."
		}
		s.dir = filepath.Join(base, "hop3-cli")
	}
	var err error
	if s.config, err = s.load(configFile); err != nil {
		return nil, err
	}
	s.credentials, err = s.load(credentialsFile)
	return s, err
}

func (s *settings) load(name string) (map[string]any, error) {
	m := make(map[string]any)
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = toml.Unmarshal(content, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(s.dir, name), err)
	}
	return m, nil
}

// save replaces a file at once, readable by its owner only.
func (s *settings) save(name string, m map[string]any) (err error) {
	content, err := toml.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, name+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, name))
}

// get returns a text at a path of tables, or "".
func get(m map[string]any, path ...string) string {
	for _, key := range path[:len(path)-1] {
		m, _ = m[key].(map[string]any)
	}
	switch v := m[path[len(path)-1]].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// put sets a text at a path of tables; "" removes it.
func put(m map[string]any, value string, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := m[key].(map[string]any)
		if !ok {
			next = make(map[string]any)
			m[key] = next
		}
		m = next
	}
	if last := path[len(path)-1]; value == "" {
		delete(m, last)
	} else {
		m[last] = value
	}
}

// serverKey returns the form in which a server's token is kept: lower case,
// with its port, without a path.
func serverKey(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return server
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ssh": "22", "http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	user := ""
	if u.User != nil {
		user = u.User.Username() + "@"
	}
	return strings.ToLower(u.Scheme) + "://" + user + strings.ToLower(u.Hostname()) + ":" + port
}

// contextName returns the name of the context in use, or "".
func (p *program) contextName() string {
	return firstOf(p.flags.context, p.getenv("HOP3_CONTEXT"), p.projectContext(), get(p.settings.config, "cli", "default_context"))
}

// server returns the address of the server that is meant.
func (p *program) server() (string, error) {
	if err := p.checkContext(); err != nil {
		return "", err
	}
	if p.devMode() {
		return firstOf(get(p.settings.config, "api_url"), defaultServer), nil
	}
	if server := p.getenv("HOP3_API_URL"); server != "" {
		return server, nil
	}
	if name := p.contextName(); name != "" {
		return p.contextServer(name)
	}
	if server := get(p.settings.config, "cli", "default_server"); server != "" {
		return server, nil
	}
	servers, _ := p.settings.credentials["servers"].(map[string]any)
	if len(servers) == 1 {
		return slices.Collect(maps.Keys(servers))[0], nil
	}
	return firstOf(get(p.settings.config, "api_url"), defaultServer), nil
}

// devMode says that the server is the one that somebody works on.
func (p *program) devMode() bool {
	dev := strings.ToLower(p.getenv("HOP3_DEV_MODE"))
	return dev == "true" || dev == "1" || dev == "yes"
}

func (p *program) contextServer(name string) (string, error) {
	m, err := readProject(p.projectRoot())
	if err != nil {
		return "", err
	}
	if server := firstOf(m.Contexts[name].Server, get(p.settings.config, "contexts", name, "server")); server != "" {
		return server, nil
	}
	return "", exitf(api.ExitNotFound, "There is no context '%s'. Add one with 'hop3 context add %s URL'.", name, name)
}

// connect returns a client for the server that is meant.
func (p *program) connect() (*client.Client, error) {
	if socket := p.ownHost(); socket != "" {
		return client.New(client.Config{URL: defaultServer, Socket: socket})
	}
	server, err := p.server()
	if err != nil {
		return nil, err
	}
	return p.dial(server, firstOf(p.getenv("HOP3_API_TOKEN"), get(p.settings.credentials, "servers", serverKey(server), "token")))
}

// ownHost returns the socket of the server on this host, for a person who has
// said nothing of another one; "" otherwise.
func (p *program) ownHost() string {
	if p.hostSocket == nil || p.getenv("HOP3_API_URL") != "" || p.getenv("HOP3_DEV_MODE") != "" || p.contextName() != "" || LoggedIn() {
		return ""
	}
	return p.hostSocket()
}

func (p *program) dial(server, token string) (*client.Client, error) {
	dial, err := p.sshDial(server)
	if err != nil {
		return nil, err
	}
	if dial != nil {
		server = defaultServer
	}
	verify := strings.ToLower(firstOf(p.getenv("HOP3_VERIFY_SSL"), get(p.settings.config, "verify_ssl")))
	c, err := client.New(client.Config{
		URL:      server,
		Dial:     dial,
		Token:    token,
		CAFile:   firstOf(p.getenv("HOP3_SSL_CERT"), get(p.settings.config, "ssl_cert")),
		Insecure: verify == "false" || verify == "0" || verify == "no",
	})
	if err != nil {
		return nil, exitf(api.ExitUsage, "%v", err)
	}
	return c, nil
}

// firstOf returns the first of the texts that says anything.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// LoggedIn reports whether this user has a token, for whichever server.
func LoggedIn() bool {
	if os.Getenv("HOP3_API_TOKEN") != "" {
		return true
	}
	s, err := loadSettings(os.Getenv)
	if err != nil {
		return false
	}
	servers, _ := s.credentials["servers"].(map[string]any)
	return len(servers) > 0
}
