<?php

namespace Greeting;

final class Greeting
{
    public function __construct(private string $name)
    {
    }

    public function text(): string
    {
        return "Hello from {$this->name}";
    }
}
