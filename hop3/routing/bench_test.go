package routing

import (
	"fmt"
	"strconv"
	"testing"
)

func filled(b *testing.B, apps int) *Table {
	table := NewTable()
	for i := range apps {
		app := "app" + strconv.Itoa(i)
		set(b, table, route(app, 1, app+".example.com", "www."+app+".example.com"))
	}
	return table
}

func BenchmarkDeploy(b *testing.B) {
	for _, n := range []int{1, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := filled(b, n)
			for i := 0; b.Loop(); i++ {
				set(b, table, route("app0", i, "app0.example.com", "www.app0.example.com"))
			}
		})
	}
}

func BenchmarkHostChange(b *testing.B) {
	for _, n := range []int{1, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := filled(b, n)
			for i := 0; b.Loop(); i++ {
				set(b, table, route("app0", i, fmt.Sprintf("h%d.example.com", i)))
			}
		})
	}
}

func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		for _, host := range []string{"app0.example.com", "app0.example.com:8080", "App0.example.com"} {
			b.Run(fmt.Sprintf("%d/%s", n, host), func(b *testing.B) {
				table := filled(b, n)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						c, ok := table.Claim(host)
						if !ok {
							b.Fatal("unknown")
						}
						c.Follow()
						c.Release()
					}
				})
			})
		}
	}
}
