package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestVolumes(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": "[[volumes]]\nname = \"up\"\ntarget = \"./public/uploads/\"\nmode = \"0750\"\nbackup = { include = false }\n" +
		"[[volumes]]\nname = \"db\"\ntarget = \"db\"\ntype = \"persist\"\n" +
		"[[volumes]]\nname = \"ram\"\ntarget = \"ram\"\ntype = \"tmpfs\"\nsize = \"64M\"\n" +
		"[[volumes]]\nname = \"host\"\ntarget = \"host\"\ntype = \"bind\"\nsource = \"/srv/media/\"\nread-only = true\n"})
	want := []hop3.Volume{
		{Name: "up", Target: "public/uploads", Mode: 0o750, NoBackup: true},
		{Name: "db", Target: "db", Kind: hop3.VolumePersist},
		{Name: "ram", Target: "ram", Kind: hop3.VolumeTmpfs, Size: 64 << 20, NoBackup: true},
		{Name: "host", Target: "host", Kind: hop3.VolumeBind, Source: "/srv/media", ReadOnly: true, NoBackup: true},
	}
	if !slices.Equal(m.Volumes, want) {
		t.Errorf("got %+v", m.Volumes)
	}
}

func TestPorts(t *testing.T) {
	m := mustLoad(t, map[string]string{"hop3.toml": "[[ports]]\nnumber = 2525\nname = \"smtp-in\"\nsource = \"10.1.2.3/8\"\n[[ports]]\nnumber = 2525\nprotocol = \"udp\"\n"})
	want := []hop3.Port{{Number: 2525, Protocol: "tcp", Name: "smtp-in", Source: "10.0.0.0/8"}, {Number: 2525, Protocol: "udp", Source: "any"}}
	if !slices.Equal(m.Ports, want) {
		t.Errorf("got %+v", m.Ports)
	}
	if got := []string{m.Ports[0].Variable(), m.Ports[1].Variable()}; !slices.Equal(got, []string{"PORT_SMTP_IN", "PORT_2525"}) {
		t.Errorf("they are in %v", got)
	}
	if len(m.Unsupported) > 0 {
		t.Errorf("without effect: %v", m.Unsupported)
	}
}

func TestVolumesAndPorts_MistakesHaveTheirLines(t *testing.T) {
	const volume = "[[volumes]]\nname = \"a\"\ntarget = \"x\"\n"
	for text, want := range map[string]string{
		volume + "type = \"tmpfs\"\nsize = \"big\"":                                      "volumes -> 0 -> size (line 5): \"big\" is not a size such as 512M",
		volume + "type = \"tmpfs\"\nsource = \"/srv\"":                                   "volumes -> 0 -> source (line 5): only volumes of type bind have a source",
		volume + "read-only = true":                                                      "volumes -> 0 -> read-only (line 4): only volumes of type bind",
		volume + "type = \"bind\"":                                                       "volumes -> 0 (line 1): 'source' is missing",
		volume + "type = \"bind\"\nsource = \"/srv/../etc\"":                             "volumes -> 0 -> source (line 5): \"/srv/../etc\" cannot be the source of a volume",
		volume + "type = \"bind\"\nsource = \"/srv/x\"\nmode = \"700\"":                  "volumes -> 0 -> mode (line 6): a directory of the host keeps the mode it has",
		"[[ports]]\nnumber = 2525\n[[ports]]\nnumber = 2525":                             "ports -> 1 -> number (line 4): port 2525/tcp is declared already",
		"[[ports]]\nnumber = 25\nname = \"a b\"\n[[ports]]\nnumber = 26\nname = \"A-b\"": "ports -> 1 -> name (line 6): the variable PORT_A_B is that of port 25/tcp already",
		"[[ports]]\nnumber = 25\nname = \"\\u001b[31m\"":                                 "ports -> 0 -> name (line 3): \"\\x1b[31m\" is not a name",
	} {
		_, err := load(t, map[string]string{"hop3.toml": text})
		if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nwant %s\ngot  %v", text, want, err)
		}
	}
}
