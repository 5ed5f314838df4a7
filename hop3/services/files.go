package services

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// file says what a service is, for as long as it is meant to run. It may hold
// secrets, and is the server's alone.
func (s *Services) file(name string) string { return filepath.Join(s.of(name), "service.json") }

func (s *Services) load(name string) (hop3.Service, error) {
	var service hop3.Service
	text, err := os.ReadFile(s.file(name))
	if err == nil {
		err = json.Unmarshal(text, &service)
	}
	if err == nil && (service.Name != name || len(service.Args) == 0) {
		err = fmt.Errorf("%s does not describe the service %s", s.file(name), name)
	}
	return service, err
}

func (s *Services) save(service hop3.Service) error {
	text, err := json.Marshal(service)
	if err != nil {
		return err
	}
	return replace(s.file(service.Name), text)
}

// replace writes a file whole or not at all, for the server's eyes alone.
func replace(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".next-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// portFile says which port a service has, for as long as there is the service.
func (s *Services) portFile(name string) string { return filepath.Join(s.of(name), "port") }

// has reports whether a service has a port. s.mu is held.
func (s *Services) has(port int) bool {
	for _, p := range s.ports {
		if p == port {
			return true
		}
	}
	return false
}

func (s *Services) keepPort(service hop3.Service) error {
	s.mu.Lock()
	known := s.ports[service.Name] == service.Port
	if service.Port != 0 {
		s.ports[service.Name] = service.Port
	} else {
		delete(s.ports, service.Name)
	}
	s.mu.Unlock()
	switch {
	case known:
		return nil
	case service.Port == 0:
		return os.Remove(s.portFile(service.Name))
	}
	return replace(s.portFile(service.Name), []byte(strconv.Itoa(service.Port)+"\n"))
}

func (s *Services) loadPort(name string) error {
	text, err := os.ReadFile(s.portFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	port, wrong := strconv.Atoi(strings.TrimSpace(string(text)))
	if err = errors.Join(err, wrong); err != nil {
		return err
	}
	s.mu.Lock()
	s.ports[name] = port
	s.mu.Unlock()
	return nil
}
