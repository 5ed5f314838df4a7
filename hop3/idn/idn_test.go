package idn

import (
	"strings"
	"testing"
)

func TestNormalizeHasOneSpelling(t *testing.T) {
	const want = "xn--bcher-kva.example"
	for _, spelling := range []string{
		"bücher.example", "BÜCHER.example", "bu\u0308cher.example", "BU\u0308CHER.EXAMPLE.", "bücher.example:443",
		"ｂücher。example", "bücher．ｅｘａｍｐｌｅ", "xn--bcher-kva.example", "XN--BCHER-KVA.Example.", "bücher.example。",
	} {
		if got := Normalize(spelling); got != want || Validate(got) != nil {
			t.Errorf("Normalize(%+q) = %q, %v; want %q", spelling, got, Validate(got), want)
		}
	}
	for text, want := range map[string]string{
		"*.Bücher.example": "*.xn--bcher-kva.example", "*。bücher.example": "*.xn--bcher-kva.example", "www.Example.com.": "www.example.com",
		"r3---sn-a.example": "r3---sn-a.example", "straße.example": "xn--strae-oqa.example", "localhost": "localhost", "[::1]": "::1",
	} {
		if got := Normalize(text); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, name := range []string{
		"", "a b.example", "a_b.example", "-a.example", "bü\u202echer.example", "bü\x1b[31mcher.example", "bü/cher.example", "bü$(id).example",
		"a\u200db.example", "\u0308a.example", "שaب1.example", "a\ue000.example", "xn--a.example", "xn--.example", "xn--bcher-kva\u0000.example",
		"bücher..example", "*bü.example", "a.*.bücher.example", "*.*.bücher.example", strings.Repeat("ü", 64) + ".example", "☃\ufe0f\u200d.example",
	} {
		host := Normalize(name)
		err := Validate(host)
		if err == nil {
			t.Errorf("%+q is accepted as %q", name, host)
			continue
		}
		for _, r := range err.Error() {
			if r < ' ' && r != '\n' || r >= 0x7f {
				t.Errorf("the error for %+q has %+q in it", name, r)
			}
		}
	}
}

func TestShowsWhatCannotBeTakenForAnother(t *testing.T) {
	for _, name := range []string{
		"bücher.example", "*.bücher.example", "пример.example", "παράδειγμα.example", "例え.テスト", "スーパー.example", "日本語abc.example", "한국어.example",
		"हिन्दी.example", "việtnam.example",
	} {
		host := Normalize(name)
		if got := Show(host); Validate(host) != nil || got != name+" ("+host+")" {
			t.Errorf("%s is shown as %s, %v", name, got, Validate(host))
		}
	}
	for _, name := range []string{
		"plain.example", "pаypal.example", // with a Cyrillic а
		"аррӏе.example", "рaypal.example", "ɡoogle.example", "gοοgle.example", "aノb.example", "שלום.example", "مثال.example", "x\u0323\u0324y.example",
		"ıstanbul.example", "xn--a.example", "հս.example",
	} {
		host := Normalize(name)
		if got := Show(host); got != host {
			t.Errorf("%+q is shown as %s", name, got)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"bücher.example", "*.ü", "xn--bcher-kva", "a。b", "\u202e.a", "*..ü", "ß", "[::1]:80", "ﷺ.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host := Normalize(text)
		if Validate(host) != nil {
			return
		}
		if again := Normalize(host); again != host {
			t.Errorf("%q becomes %q, and that %q", text, host, again)
		}
		for _, r := range host {
			if r <= ' ' || r >= 0x7f {
				t.Errorf("%q is accepted", host)
			}
		}
		if back := Normalize(Unicode(host)); back != host {
			t.Errorf("%q is shown as %q, which is %q", host, Unicode(host), back)
		}
	})
}
