// presets.js -- tools to begin with, sentences that use them, and results a tool might give.
// Nothing of these is run by anybody: a result is what the visitor sends. Tools of the server that do
// run become a preset of their own.

import { get } from './api.js';
import { pretty } from './json.js';

const tool = (name, description, properties, required) => ({
  type: 'function',
  function: { name, description, parameters: { type: 'object', properties, required } },
});
const text = (description, more) => ({ type: 'string', description, ...more });

const weather = [
  tool(
    'get_weather',
    'Current weather of a city',
    {
      city: text('name of the city'),
      unit: text('unit of temperature', { enum: ['celsius', 'fahrenheit'] }),
    },
    ['city'],
  ),
  tool(
    'get_forecast',
    'Weather forecast of a city for some days',
    {
      city: text('name of the city'),
      days: { type: 'integer', minimum: 1, maximum: 7, description: 'number of days' },
    },
    ['city', 'days'],
  ),
];

const orders = [
  tool(
    'find_orders',
    'Find orders of a customer',
    {
      customer: text('name of the customer'),
      status: text('status of the order', { enum: ['open', 'shipped', 'cancelled'] }),
    },
    ['customer'],
  ),
  tool(
    'cancel_order',
    'Cancel an order',
    {
      order_id: { type: 'integer', minimum: 1, description: 'number of the order' },
      reason: text('why it is cancelled'),
    },
    ['order_id'],
  ),
  tool(
    'refund',
    'Refund money for an order',
    {
      order_id: { type: 'integer', minimum: 1, description: 'number of the order' },
      amount: { type: 'number', minimum: 0.01, maximum: 500, description: 'amount in euros' },
    },
    ['order_id', 'amount'],
  ),
];

const contact = [
  tool(
    'save_contact',
    'Save a contact',
    {
      name: text('full name'),
      email: { type: 'string', format: 'email' },
      phone: { type: 'string', pattern: '^[+0-9 ]{5,20}$' },
      birthday: { type: 'string', format: 'date' },
    },
    ['name'],
  ),
];

/** tools: a list, or the file of examples/ that holds it. choice: how tools are offered. */
export const presets = [
  {
    id: 'home',
    title: 'Home automation',
    tools: 'page/home.json',
    say: [
      'dim the kitchen to 10',
      'wake me up at 6:30',
      'turn the kitchen light to 40 and play jazz in the living room',
      'hello',
    ],
    mocks: {
      set_light: '{"ok":true}',
      heat_room: '{"ok":true,"reached_in_minutes":12}',
      play_music: '{"playing":true}',
      set_alarm: '{"ok":true}',
      lock_door: '{"locked":true}',
    },
  },
  {
    id: 'weather',
    title: 'Weather',
    tools: weather,
    say: [
      'what is the weather in Oslo?',
      'weather in Paris in fahrenheit',
      'forecast for Rome for the next 3 days',
      'weather in Oslo and in Rome',
    ],
    mocks: {
      get_weather: '{"temperature":7,"unit":"celsius","sky":"light rain"}',
      get_forecast: '{"days":[{"high":21,"low":12},{"high":23,"low":13},{"high":19,"low":11}]}',
    },
  },
  {
    id: 'orders',
    title: 'Orders',
    tools: orders,
    say: [
      'show the open orders of Smith',
      'cancel order 4711',
      'refund 25.50 euros for order 1042',
    ],
    mocks: {
      find_orders: '[{"order_id":4711,"status":"open","total":99.9}]',
      cancel_order: '{"ok":true}',
      refund: '{"refunded":25.5}',
    },
  },
  {
    id: 'extract',
    title: 'Extraction (one tool, always called)',
    tools: contact,
    choice: '=save_contact',
    say: [
      'Save Ada Lovelace, ada@example.org, born on 1815-12-10',
      'my new dentist is John Smith, phone +47 123 45 678',
    ],
    mocks: { save_contact: '{"saved":true}' },
  },
  { id: 'none', title: 'No tools', tools: [], say: ['hello'], mocks: {} },
];

/** list: definitions of what the server runs, in front of all others. */
export function addHere(list) {
  presets.unshift({ id: 'here', title: 'Tools of this server (they run)', tools: list, say: [], mocks: {} });
}

export const presetOf = id => presets.find(p => p.id === id) ?? presets[0];

/** The text of a preset's tools. */
export async function toolsText(preset) {
  const list = typeof preset.tools === 'string' ? await get(preset.tools) : preset.tools;
  return pretty(JSON.stringify(list));
}
